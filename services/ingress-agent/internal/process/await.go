package process

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// AwaitEnd returns as soon as one of the processes ends, at the latest after
// d; those with pid 0 are left out. A kernel without pidfds (before 5.3) gives
// the whole d.
func AwaitEnd(d time.Duration, pids ...int) {
	var fds []unix.PollFd
	for _, pid := range pids {
		if pid == 0 {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			return // it has ended already
		}
		if err != nil {
			continue
		}
		defer unix.Close(fd) //nolint:errcheck // a pidfd holds nothing to be lost
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	for end := time.Now().Add(d); ; {
		// A signal to this thread interrupts the wait without an end.
		left := max(0, time.Until(end))
		if _, err := unix.Poll(fds, int(left.Milliseconds())); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

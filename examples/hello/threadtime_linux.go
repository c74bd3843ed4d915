package main

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"
)

// clockThreadCPU is CLOCK_THREAD_CPUTIME_ID. It counts nanoseconds, whereas
// getrusage(2) moves on only with the kernel's tick of some milliseconds.
const clockThreadCPU = 3

// threadTime is the CPU time that the calling thread has used.
func threadTime() (time.Duration, error) {
	var t syscall.Timespec
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPU, uintptr(unsafe.Pointer(&t)), 0) //nolint:gosec // the kernel writes a Timespec there; the sample has no dependency
	if errno != 0 {
		return 0, fmt.Errorf("read this thread's CPU time: %w", errno)
	}
	return time.Duration(t.Nano()), nil
}

package supervisor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// buryPause is how long a dead child is left to the one who may wait for it.
const buryPause = 500 * time.Millisecond

// Adopt makes this process the parent of everything that its descendants
// leave behind (shims, containers, workers), and buries them until ctx ends.
// Without it they would stay as zombies on a machine whose first process does
// not bury strangers.
func Adopt(ctx context.Context) error {
	if err := adoptOrphans(); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	dead := map[int]bool{}
	for sleep(ctx, buryPause) {
		dead = bury(dead)
	}
	bury(bury(nil))
	return nil
}

// bury takes the children that were dead before and still are: a child that we
// started ourselves is waited for at once and never seen twice. It returns
// those that are dead now.
func bury(before map[int]bool) map[int]bool {
	now := map[int]bool{}
	for _, pid := range deadChildren() {
		if !before[pid] {
			now[pid] = true
			continue
		}
		// It cannot vanish meanwhile: nobody else may bury our children.
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
	return now
}

func deadChildren() []int {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	var dead []int
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if pid := deadChild(string(data), os.Getpid()); pid != 0 {
			dead = append(dead, pid)
		}
	}
	return dead
}

// deadChild returns the number of a process, given its stat line, if it is a
// zombie of this parent, otherwise 0.
func deadChild(stat string, parent int) int {
	end := strings.LastIndexByte(stat, ')')
	number, _, found := strings.Cut(stat, " ")
	if end < 0 || !found {
		return 0
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 2 || fields[0] != "Z" || fields[1] != strconv.Itoa(parent) {
		return 0
	}
	pid, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return pid
}

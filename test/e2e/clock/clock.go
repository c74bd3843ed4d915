// Package clock moves a clock of another process while it runs, so that a
// scenario can give one part of the platform another time than the rest.
//
// Programs read clocks through code that the kernel lends to each process (the
// vDSO). A process whose code is changed gets a page of its own; no other
// process and no clock of the machine is touched. Linux on amd64, as root.
package clock

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ID is a clock as clock_gettime(2) numbers it.
type ID byte

const (
	// Wall is CLOCK_REALTIME: what time it is.
	Wall ID = 0
	// Steady is CLOCK_MONOTONIC: how long something took. It does not count the
	// time in which a machine is suspended.
	Steady ID = 1
)

// patience is how long a process may take to stand still elsewhere.
const patience = 10 * time.Second

// Shift moves clocks of a process by whole seconds until undo; before that none
// can be moved again. A process that was stopped stays so; one that has ended
// needs no undo.
func Shift(pid int, by time.Duration, ids ...ID) (undo func() error, err error) {
	at, err := function(pid)
	if err != nil {
		return nil, err
	}
	code := shifted(by, ids)
	had := make([]byte, len(code))
	if err := inMemory(pid, func(mem *os.File) error { _, err := mem.ReadAt(had, at); return err }); err != nil {
		return nil, err
	}
	if bytes.HasPrefix(had, []byte(ask)) {
		return nil, fmt.Errorf("clocks of process %d are moved already: undo that first", pid)
	}
	if err := overwrite(pid, at, code); err != nil {
		return nil, err
	}
	return func() error {
		if state(pid) == gone {
			return nil
		}
		return overwrite(pid, at, had)
	}, nil
}

// ask is how the function that takes the place of clock_gettime begins.
const ask = "\xb8\xe4\x00\x00\x00" + // mov eax, SYS_clock_gettime
	"\x0f\x05" // syscall

// shifted is a function in the place of clock_gettime: it asks the kernel, and
// adds to what some of the clocks say.
func shifted(by time.Duration, ids []ID) []byte {
	code := []byte(ask)
	for _, id := range ids {
		code = append(code,
			0x83, 0xff, byte(id), // cmp edi, id
			0x75, 0x07, // jne over the next instruction
			0x48, 0x81, 0x06, // add qword ptr [rsi], the four bytes that follow
		)
		code = binary.LittleEndian.AppendUint32(code, uint32(int32(by/time.Second)))
	}
	return append(code, 0xc3) // ret
}

// overwrite changes code of a process while it stands still and none of its
// threads is in there.
func overwrite(pid int, at int64, code []byte) error {
	if state(pid) != stopped {
		defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			return fmt.Errorf("stop process %d: %w", pid, err)
		}
		if outside(pid, at, at+int64(len(code))) {
			return inMemory(pid, func(mem *os.File) error { _, err := mem.WriteAt(code, at); return err })
		}
		if time.Now().After(end) {
			return fmt.Errorf("process %d reads its clock all the time", pid)
		}
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}

func inMemory(pid int, do func(*os.File) error) error {
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(do(mem), mem.Close())
}

// The states of a process that matter here.
const (
	stopped = "T"
	gone    = ""
)

// state is the kernel's letter for the state of a process; gone when it has
// ended.
func state(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return gone
	}
	// The name before it may hold spaces and parentheses.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) == 0 || fields[0] == "Z" || fields[0] == "X" {
		return gone
	}
	return fields[0]
}

// outside tells whether all threads of a process stand still elsewhere; it
// waits a little for those that still run.
func outside(pid int, start, end int64) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, thread := range threads {
		if at, still := standsAt(thread); !still || at >= start && at < end {
			return false
		}
	}
	return true
}

// standsAt is the address of a thread's next instruction, if it stands still; 0
// for a thread that has ended.
func standsAt(thread string) (at int64, still bool) {
	for range 100 {
		text, err := os.ReadFile(thread)
		if err != nil {
			return 0, true
		}
		if fields := strings.Fields(string(text)); len(fields) > 1 { // else "running"
			at, err := strconv.ParseInt(fields[len(fields)-1], 0, 64)
			return at, err == nil
		}
		time.Sleep(time.Millisecond)
	}
	return 0, false
}

package clock

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// function is the address of clock_gettime in a process.
func function(pid int) (int64, error) {
	if runtime.GOARCH != "amd64" {
		return 0, fmt.Errorf("the machine code is for amd64, this is %s", runtime.GOARCH)
	}
	start, image, err := lent(pid)
	if err != nil {
		return 0, err
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, fmt.Errorf("the kernel's code in process %d: %w", pid, err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return 0, fmt.Errorf("the kernel's code in process %d: %w", pid, err)
	}
	for _, s := range symbols {
		if s.Name != "__vdso_clock_gettime" {
			continue
		}
		if need := uint64(len(shifted(0, []ID{Steady, Wall}))); s.Size < need {
			return 0, fmt.Errorf("clock_gettime has %d bytes, %d are needed", s.Size, need)
		}
		return start + int64(s.Value), nil
	}
	return 0, errors.New("the kernel lends no clock_gettime")
}

// lent is the code that the kernel lends to a process, and where it lies.
func lent(pid int) (start int64, image []byte, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, nil, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		var end int64
		if _, err := fmt.Sscanf(line, "%x-%x", &start, &end); err != nil {
			return 0, nil, fmt.Errorf("read %q: %w", line, err)
		}
		image = make([]byte, end-start)
		return start, image, inMemory(pid, func(mem *os.File) error { _, err := mem.ReadAt(image, start); return err })
	}
	return 0, nil, fmt.Errorf("process %d has no code of the kernel", pid)
}

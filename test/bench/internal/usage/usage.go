// Package usage reads from /proc what processes and the machine use.
package usage

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticks per second in which the kernel counts CPU time (USER_HZ).
const ticks = 100

// Sample is what was used until a moment.
type Sample struct {
	Time time.Time
	// CPU seconds since each process began, by name.
	CPU map[string]float64
	// CPU seconds that the whole machine was busy since it started.
	Machine float64
}

// Span is what was used between two samples.
type Span struct {
	Seconds float64 `json:"seconds"`
	// CPU seconds by process.
	CPU map[string]float64 `json:"cpu_seconds"`
	// CPU seconds of everything else on the machine, this program included.
	Other float64 `json:"cpu_seconds_others"`
}

// Take reads a sample of processes, by name. One that has ended counts as 0.
func Take(pids map[string]int) (Sample, error) {
	s := Sample{Time: time.Now(), CPU: make(map[string]float64, len(pids))}
	for name, pid := range pids {
		fields, err := stat(pid)
		if err != nil {
			continue // ended
		}
		s.CPU[name] = (number(fields[11]) + number(fields[12])) / ticks
	}
	busy, err := machine()
	s.Machine = busy
	return s, err
}

// Since is what was used from an earlier sample on. A process that began in
// between counts from its start.
func (s Sample) Since(before Sample) Span {
	span := Span{Seconds: s.Time.Sub(before.Time).Seconds(), CPU: map[string]float64{}, Other: s.Machine - before.Machine}
	for name, cpu := range s.CPU {
		used := cpu - before.CPU[name]
		if used < 0 {
			used = cpu // another process of the same name
		}
		span.CPU[name] = used
		span.Other -= used
	}
	return span
}

// Total CPU seconds of the processes.
func (s Span) Total() float64 {
	sum := 0.0
	for used := range maps.Values(s.CPU) {
		sum += used
	}
	return sum
}

// Cores is how many CPUs the processes kept busy.
func (s Span) Cores() float64 {
	if s.Seconds == 0 {
		return 0
	}
	return s.Total() / s.Seconds
}

// RSS is the resident memory of a process in MiB.
func RSS(pid int) (float64, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	return number(fields[21]) * float64(os.Getpagesize()) / (1 << 20), nil
}

// LoadAverage of the last minute.
func LoadAverage() float64 {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	return number(strings.Fields(string(data))[0])
}

// stat gives the fields of /proc/PID/stat from the state on (field 3).
func stat(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The name before may hold anything, also blanks and brackets.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 22 {
		return nil, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return fields, nil
}

// machine is the time that was neither idle nor spent waiting for disks.
func machine() (float64, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	const idle, wait, steal = 3, 4, 7
	busy := 0.0
	for i, field := range strings.Fields(line)[1:] {
		if i != idle && i != wait && i <= steal {
			busy += number(field)
		}
	}
	return busy / ticks, nil
}

func number(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return v
}

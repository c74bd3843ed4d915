package main

import (
	"runtime"
	"time"
)

// burn uses d of CPU time, not of wall time: on a busy machine it takes
// longer, but costs the same, so load and measured use stay in proportion.
func burn(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start, err := threadTime()
	if err != nil {
		return err
	}
	for {
		spin() //nolint:staticcheck // its effect is the time that it takes
		now, err := threadTime()
		if err != nil {
			return err
		}
		if now-start >= d {
			return nil
		}
	}
}

// spin takes some ten microseconds, so that asking the kernel for the time is
// the smaller part of the work.
func spin() uint64 {
	x := uint64(88172645463325252)
	for range 5000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

//go:build !linux

package main

import "time"

var began = time.Now()

// threadTime is wall time where a thread's own time cannot be read: good
// enough to try the app on a laptop, its image is for Linux.
func threadTime() (time.Duration, error) { return time.Since(began), nil }

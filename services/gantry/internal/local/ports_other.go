//go:build !linux

package local

// bindFreely does nothing: only loopback is used where nodes are simulated.
func bindFreely(uintptr) {}

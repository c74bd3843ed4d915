//go:build !linux

package kubetest

import "syscall"

// endWithTest has no help from other kernels: cleanups end the programs.
func endWithTest() *syscall.SysProcAttr { return nil }

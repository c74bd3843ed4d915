package kubetest

import "syscall"

// endWithTest makes the kernel end a program also when the test is killed.
func endWithTest() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

package host

import "syscall"

// detach removes a mount also while somebody uses it.
func detach(point string) error { return syscall.Unmount(point, syscall.MNT_DETACH) }

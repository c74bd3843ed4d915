package local

import "golang.org/x/sys/unix"

// bindFreely lets a socket listen on an address that no interface has yet. If
// the kernel refuses, listening fails and tells why.
func bindFreely(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1) }

package vip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Of a VRRP advert, version 3, RFC 5798.
const (
	vrrpProtocol = 112
	vrrpAdvert   = 3<<4 | 1
	vrrpHops     = 255
	// Centiseconds between two adverts, as in keepalived.conf.
	vrrpInterval = 10
)

// Resign tells the peers in the name of a dead daemon that it gives up a VIP:
// an advert of priority 0. They take over at once instead of after three
// adverts that do not come.
func Resign(source string, peers []string, vip string, routerID int) error {
	from, errFrom := netip.ParseAddr(source)
	address, errVIP := netip.ParseAddr(vip)
	if err := errors.Join(errFrom, errVIP); err != nil {
		return fmt.Errorf("resign from %s: %w", vip, err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, vrrpProtocol)
	if err != nil {
		return fmt.Errorf("resign from %s: %w", vip, err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was promised on it
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, vrrpHops),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}))
	for _, peer := range peers {
		to, errPeer := netip.ParseAddr(peer)
		if errPeer == nil {
			errPeer = unix.Sendto(fd, resignation(from, to, address, byte(routerID)), 0, &unix.SockaddrInet4{Addr: to.As4()})
		}
		err = errors.Join(err, errPeer)
	}
	if err != nil {
		return fmt.Errorf("resign from %s: %w", vip, err)
	}
	return nil
}

// resignation is the advert of priority 0.
func resignation(from, to, vip netip.Addr, routerID byte) []byte {
	v := vip.As4()
	p := append([]byte{vrrpAdvert, routerID, 0, 1, 0, vrrpInterval, 0, 0}, v[:]...)
	a, b := from.As4(), to.As4()
	pseudo := append(append(append([]byte{}, a[:]...), b[:]...), 0, vrrpProtocol, 0, byte(len(p)))
	binary.BigEndian.PutUint16(p[6:], checksum(append(pseudo, p...)))
	return p
}

// checksum of an even number of bytes, RFC 1071.
func checksum(p []byte) uint16 {
	var sum uint32
	for i := 0; i < len(p); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

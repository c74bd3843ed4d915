// Package vip looks after the shared addresses from beside Keepalived: who
// answers for one, and where the connections of a node that gave one away go.
package vip

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Of an ARP packet for Ethernet and IPv4, RFC 826.
const (
	arpSize     = 28
	arpRequest  = 1
	arpReply    = 2
	ethernet    = 1
	ipv4        = 0x0800
	hardwareLen = 6
	protocolLen = 4
	pollStep    = 50 * time.Millisecond
)

// WhoHas asks the network who answers for an address, and gives the hardware
// addresses of all who did within the time, in order. The question names no
// sender (an ARP probe, RFC 5227), so nobody's cache learns from it.
func WhoHas(ctx context.Context, interfaceName string, address netip.Addr, patience time.Duration) ([]string, error) {
	i, err := net.InterfaceByName(interfaceName)
	if err != nil {
		return nil, fmt.Errorf("ask who has %s: %w", address, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(networkOrder(unix.ETH_P_ARP)))
	if err != nil {
		return nil, fmt.Errorf("ask who has %s: %w", address, err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was promised on it
	here := unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ARP), Ifindex: i.Index}
	if err := unix.Bind(fd, &here); err != nil {
		return nil, fmt.Errorf("ask who has %s: %w", address, err)
	}
	all := here
	all.Halen = hardwareLen
	copy(all.Addr[:], bytes.Repeat([]byte{0xff}, hardwareLen))
	if err := unix.Sendto(fd, question(i.HardwareAddr, address), 0, &all); err != nil {
		return nil, fmt.Errorf("ask who has %s: %w", address, err)
	}
	return answers(ctx, fd, address, patience)
}

// networkOrder is how the kernel wants a protocol number.
func networkOrder(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}

func answers(ctx context.Context, fd int, address netip.Addr, patience time.Duration) ([]string, error) {
	var owners []string
	packet := make([]byte, 128)
	for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil; {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, int(pollStep.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("wait for who has %s: %w", address, err)
		}
		size, _, err := unix.Recvfrom(fd, packet, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("hear who has %s: %w", address, err)
		}
		if owner, ok := ownerIn(packet[:size], address); ok {
			owners = append(owners, owner)
		}
	}
	slices.Sort(owners)
	return slices.Compact(owners), ctx.Err()
}

// question is "who has address?" without a sender's address.
func question(own net.HardwareAddr, address netip.Addr) []byte {
	p := make([]byte, arpSize)
	binary.BigEndian.PutUint16(p[0:], ethernet)
	binary.BigEndian.PutUint16(p[2:], ipv4)
	p[4], p[5] = hardwareLen, protocolLen
	binary.BigEndian.PutUint16(p[6:], arpRequest)
	copy(p[8:14], own)
	to := address.As4()
	copy(p[24:28], to[:])
	return p
}

// ownerIn reads an answer: the hardware address that has the asked one.
func ownerIn(p []byte, address netip.Addr) (string, bool) {
	if len(p) < arpSize || binary.BigEndian.Uint16(p[6:]) != arpReply || p[4] != hardwareLen || p[5] != protocolLen {
		return "", false
	}
	if from := address.As4(); !bytes.Equal(p[14:18], from[:]) {
		return "", false
	}
	return net.HardwareAddr(p[8:14]).String(), true
}

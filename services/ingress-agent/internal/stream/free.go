package stream

import (
	"context"
	"fmt"
	"net"
	"strconv"
)

// Free tries to listen as Nginx would.
func Free(ctx context.Context, l Listener) error {
	var c net.ListenConfig
	address := ":" + strconv.Itoa(l.Port)
	var err error
	if l.UDP {
		var s net.PacketConn
		if s, err = c.ListenPacket(ctx, "udp4", address); err == nil {
			return s.Close()
		}
	} else {
		var s net.Listener
		if s, err = c.Listen(ctx, "tcp4", address); err == nil {
			return s.Close()
		}
	}
	return fmt.Errorf("the node cannot listen on port %d: %w; stop the program that has it, or give the stream route another listen_port", l.Port, err)
}

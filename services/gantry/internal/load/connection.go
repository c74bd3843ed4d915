package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

const maxAnswer = 1 << 20 // bytes of an answer that are read

// connection is one keep-alive connection. Requests are written by hand:
// net/http's own client sends an idempotent request again when a reused
// connection breaks, which would hide exactly the loss that is counted here.
type connection struct {
	net.Conn
	reader *bufio.Reader
	used   bool
	idle   time.Time // since when
	// over is set when the connection must not carry another request.
	over bool
}

func dial(address string, deadline time.Time) (*connection, error) {
	d := net.Dialer{Deadline: deadline}
	c, err := d.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: c, reader: bufio.NewReader(c)}, nil
}

// closedByPeer looks, without waiting, whether the other side has ended the
// idle connection. Every client does this before it reuses one; what closes
// after the look is a loss and counts.
func (c *connection) closedByPeer() bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = !errors.Is(err, syscall.EAGAIN) // end, reset, or bytes nobody asked for
	})
	return closed || err != nil
}

// exchange sends one request, once, and reads its whole answer.
func (c *connection) exchange(request []byte, method string, deadline time.Time) (answer, error) {
	c.over = true // until the answer is whole
	var got answer
	if err := c.SetDeadline(deadline); err != nil {
		return got, err
	}
	if _, err := c.Write(request); err != nil {
		return got, err
	}
	resp, err := http.ReadResponse(c.reader, &http.Request{Method: method}) //nolint:bodyclose // the connection outlives the answer
	if err != nil {
		return got, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return got, err
	}
	c.used, c.over = true, resp.Close || len(body) == maxAnswer
	if resp.StatusCode != http.StatusOK {
		return got, &statusError{code: resp.StatusCode}
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return got, &statusError{code: resp.StatusCode, odd: "the answer is not the app's"}
	}
	return got, nil
}

// statusError is an answer that is not the app's own.
type statusError struct {
	code int
	odd  string
}

func (e *statusError) Error() string {
	if e.odd != "" {
		return fmt.Sprintf("status %d, but %s", e.code, e.odd)
	}
	return fmt.Sprintf("status %d %s", e.code, http.StatusText(e.code))
}

func classify(err error) Class {
	var status *statusError
	switch {
	case errors.As(err, &status) && status.code >= 500:
		return ClassServer
	case errors.As(err, &status):
		return ClassOther
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ClassTimeout
	default:
		return ClassReset
	}
}

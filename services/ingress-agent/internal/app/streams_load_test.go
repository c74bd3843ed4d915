package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// startEcho runs pods that say their own address and then what they are told.
func startEcho(t *testing.T, port int, addresses ...string) {
	t.Helper()
	for _, ip := range addresses {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("%s:%d", ip, port))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go echo(c, ip)
			}
		}()
		t.Cleanup(func() { _ = l.Close() })
	}
}

func echo(c net.Conn, ip string) {
	defer c.Close()
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		if _, err := fmt.Fprintln(c, ip, lines.Text()); err != nil {
			return
		}
	}
}

// A streamClient asks over one connection.
type streamClient struct {
	net.Conn
	lines *bufio.Reader
}

func dialStream() (*streamClient, error) {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", tcpPort), 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &streamClient{Conn: c, lines: bufio.NewReader(c)}, nil
}

// ask gives the pod that answers.
func (c *streamClient) ask(text string) (pod string, err error) {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(c, text); err != nil {
		return "", err
	}
	line, err := c.lines.ReadString('\n')
	if err != nil {
		return "", err
	}
	pod, got, _ := strings.Cut(strings.TrimSpace(line), " ")
	if got != text {
		return "", errors.New("got " + line)
	}
	return pod, nil
}

// streamLoad keeps connections busy and opens others all the time.
type streamLoad struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	asked  atomic.Int64
	opened atomic.Int64

	mu       sync.Mutex
	failures []string
}

func startStreamLoad(t *testing.T, established, opening int) *streamLoad {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &streamLoad{cancel: cancel}
	for range established {
		c, err := dialStream()
		if err != nil {
			t.Fatal(err)
		}
		l.wg.Go(func() { l.keep(ctx, c) })
	}
	for range opening {
		l.wg.Go(func() { l.open(ctx) })
	}
	t.Cleanup(func() { cancel(); l.wg.Wait() })
	return l
}

func (l *streamLoad) keep(ctx context.Context, c *streamClient) {
	defer c.Close()
	for i := 0; ctx.Err() == nil; i++ {
		if _, err := c.ask(fmt.Sprint("kept", i)); err != nil {
			l.fail("established: " + err.Error())
			return
		}
		l.asked.Add(1)
		time.Sleep(10 * time.Millisecond)
	}
}

func (l *streamLoad) open(ctx context.Context) {
	for ctx.Err() == nil {
		c, err := dialStream()
		if err == nil {
			_, err = c.ask("new")
			_ = c.Close()
		}
		if err != nil {
			l.fail("new: " + err.Error())
		}
		l.opened.Add(1)
		time.Sleep(2 * time.Millisecond)
	}
}

func (l *streamLoad) fail(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, text)
}

func (l *streamLoad) none(t *testing.T) {
	t.Helper()
	l.cancel()
	l.wg.Wait()
	t.Logf("%d new connections, %d questions over established ones, %d lost", l.opened.Load(), l.asked.Load(), len(l.failures))
	if len(l.failures) > 0 {
		t.Errorf("lost: %v", l.failures[:min(3, len(l.failures))])
	}
}

func startUDPEcho(t *testing.T, port int, addresses ...string) {
	t.Helper()
	for _, ip := range addresses {
		c, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp4", fmt.Sprintf("%s:%d", ip, port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		go func() {
			for {
				_, from, err := c.ReadFrom(make([]byte, 100))
				if err != nil {
					return
				}
				_, _ = c.WriteTo([]byte(ip), from)
			}
		}()
	}
}

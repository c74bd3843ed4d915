package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// narrator tells a person what is done and seen, each line with the time
// since the begin. Safe for concurrent use.
type narrator struct {
	mu      sync.Mutex
	out     io.Writer
	started time.Time
}

// chapter begins a phase.
func (n *narrator) chapter(title string) {
	n.write(fmt.Sprintf("\n%s %s\n", n.elapsed(), title))
}

// say tells one thing.
func (n *narrator) say(format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\n")
	n.write(n.elapsed() + "   " + strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", 12)) + "\n")
}

// command shows what a user would type for what happens next.
func (n *narrator) command(format string, args ...any) {
	n.write(n.elapsed() + " $ " + fmt.Sprintf(format, args...) + "\n")
}

func (n *narrator) elapsed() string {
	return fmt.Sprintf("[%6.1fs]", time.Since(n.started).Seconds())
}

func (n *narrator) write(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, _ = io.WriteString(n.out, text) // a closed terminal must not end the demo
}

// thousands writes 12345 as "12,345".
func thousands(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// round is for people: 1.234567s is "1.23s".
func round(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(10 * time.Millisecond)
}

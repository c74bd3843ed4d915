// Package command runs the small programs of the system and explains their failures.
package command

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// limit is how long one call may take.
const limit = 30 * time.Second

// Run runs a program and returns what it printed; the error carries what it said.
func Run(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if errors.Is(err, exec.ErrNotFound) {
		return "", err
	}
	if err != nil {
		return text, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, text)
	}
	return text, nil
}

//go:build !linux

package host

import "errors"

// detach is never needed: real nodes, which mount, run on Linux only.
func detach(string) error { return errors.ErrUnsupported }

package etcdkv

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"gantry.dev/pkg/fault"
)

// maxValue bounds what a stored value may unfold to, in bytes.
const maxValue = 64 << 20

// Unpack gives a stored value as it was before its writer compressed it by
// gzip; one that was not compressed is given back. No message and no JSON
// begins as gzip does. VALUE_TOO_LARGE.
func Unpack(b []byte) ([]byte, error) {
	if !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		return b, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(r, maxValue+1))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if len(out) > maxValue {
		return nil, fault.Internal("VALUE_TOO_LARGE", "a stored value unfolds to more than %d bytes", maxValue)
	}
	return out, nil
}

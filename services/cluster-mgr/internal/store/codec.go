package store

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"sync"

	"gantry.dev/pkg/fault"
)

// Values are compressed from this size on, in bytes: etcd keeps everything in
// memory and refuses a transaction of more than 1.5 MiB, and what is large here
// (plans, inputs of decisions) is repetitive.
const compressFrom = 4 << 10

// maxValue bounds what a stored value may unfold to, in bytes.
const maxValue = 64 << 20

// packer compresses large values; safe for concurrent use.
type packer struct{ writers sync.Pool }

func newPacker() *packer {
	return &packer{writers: sync.Pool{New: func() any {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level exists
		return w
	}}}
}

// pack compresses a large value.
func (p *packer) pack(b []byte) ([]byte, error) {
	if len(b) < compressFrom {
		return b, nil
	}
	w, ok := p.writers.Get().(*gzip.Writer)
	if !ok {
		return b, nil
	}
	defer p.writers.Put(w)
	var out bytes.Buffer
	w.Reset(&out)
	if _, err := w.Write(b); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return out.Bytes(), nil
}

// unpack gives back what was packed. No message and no JSON begins as gzip
// does.
func unpack(b []byte) ([]byte, error) {
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

package store

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"sync"
)

// Values are compressed from this size on, in bytes: etcd keeps everything in
// memory and refuses a transaction of more than 1.5 MiB, and what is large here
// (plans, inputs of decisions) is repetitive.
const compressFrom = 4 << 10

// packer compresses large values; safe for concurrent use.
type packer struct{ writers sync.Pool }

func newPacker() *packer {
	return &packer{writers: sync.Pool{New: func() any {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level exists
		return w
	}}}
}

// pack compresses a large value; etcdkv.Unpack is its inverse.
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

package proxy

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// frame is one message in wire format, never decoded on its way.
type frame struct {
	data []byte
}

// rawCodec moves frames. Its name is "proto" because that is what travels.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return nil, fmt.Errorf("the proxy cannot marshal %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(f.data)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("the proxy cannot unmarshal into %T", v)
	}
	// The buffers go back to a pool after this call, so this is a copy.
	f.data = data.Materialize()
	return nil
}

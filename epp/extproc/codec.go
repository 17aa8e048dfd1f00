package extproc

import (
	"fmt"
	"math/bits"
	"sync"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// Codec is gRPC's protobuf codec with a short cut for this package's stream: a received message is joined into one buffer
// and read in place, where the usual way would copy the body once more into a fresh allocation; an answer that is already
// encoded is sent as it is. All other messages go through the protobuf codec. A server that this package's service is
// registered on needs it: grpc.ForceServerCodecV2(extproc.Codec()).
func Codec() encoding.CodecV2 { return codec{usual: encoding.GetCodecV2(proto.Name)} }

type codec struct {
	usual encoding.CodecV2
}

// encoded is an answer in its wire form. Its buffers are released once they are sent.
type encoded mem.BufferSlice

// Name implements encoding.CodecV2.
func (codec) Name() string { return proto.Name }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if answer, ok := v.(encoded); ok {
		return mem.BufferSlice(answer), nil
	}
	return c.usual.Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return c.usual.Unmarshal(data, v)
	}
	f.message = data.MaterializeToBuffer(messages)
	if err := f.read(); err != nil {
		f.free()
		return fmt.Errorf("reading ProcessingRequest: %w", err)
	}
	return nil
}

// messages is where messages of more than one HTTP/2 frame are joined.
var messages = &bufferPool{}

// bufferPool recycles buffers by size class (powers of two) and, unlike gRPC's own, does not clear them: each is written
// from its beginning before it is read.
type bufferPool struct {
	classes [27]sync.Pool
}

const smallestClass = 12 // 4 KiB; the largest class holds 256 MiB

// Get implements mem.BufferPool.
func (p *bufferPool) Get(length int) *[]byte {
	class := max(bits.Len(uint(max(length, 1)-1)), smallestClass) - smallestClass
	if class >= len(p.classes) {
		fresh := make([]byte, length)
		return &fresh
	}
	if recycled, ok := p.classes[class].Get().(*[]byte); ok {
		*recycled = (*recycled)[:length]
		return recycled
	}
	fresh := make([]byte, length, 1<<(class+smallestClass))
	return &fresh
}

// Put implements mem.BufferPool.
func (p *bufferPool) Put(buffer *[]byte) {
	class := bits.Len(uint(cap(*buffer))) - 1 - smallestClass
	if class < 0 || class >= len(p.classes) {
		return
	}
	p.classes[class].Put(buffer)
}

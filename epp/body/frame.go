package body

import (
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

const frameHeader = 5 // one byte of flags, the length in four

// scanFrame reads a body that is one gRPC message. What follows the message is not looked at.
func (r *Request) scanFrame(body []byte, complete bool, lim Limits) error {
	message, err := r.unframe(body, complete)
	if err != nil {
		return &FieldError{Message: "invalid or unsupported gRPC payload: " + err.Error()}
	}
	switch r.API {
	case VertexChat:
		return r.scanHTTPBody(message, "ChatCompletionsRequest", lim)
	case VertexRawPredict:
		return r.scanHTTPBody(message, "RawPredictRequest", lim)
	case GRPCEmbed:
		return r.scanEngine(message, "EmbedRequest", lim)
	}
	return r.scanEngine(message, "GenerateRequest", lim)
}

// unframe gives the message, or as much of it as is there.
func (r *Request) unframe(body []byte, complete bool) ([]byte, error) {
	switch {
	case len(body) > 0 && body[0] != 0:
		return nil, errors.New("compressed gRPC payload is not supported")
	case len(body) < frameHeader && complete:
		return nil, fmt.Errorf("invalid gRPC frame: expected at least %d bytes for header, got %d", frameHeader, len(body))
	case len(body) < frameHeader:
		r.Truncated = true
		return nil, nil
	}
	size, message := uint64(binary.BigEndian.Uint32(body[1:])), body[frameHeader:]
	if uint64(len(message)) >= size {
		return message[:size], nil
	}
	if complete {
		return nil, fmt.Errorf("incomplete gRPC payload: header indicates %d bytes, but only %d bytes are available", size, len(message))
	}
	r.Truncated = true
	return message, nil
}

// Fields of Vertex AI's requests and of google.api.HttpBody.
const (
	requestHTTPBody = 2
	httpBodyData    = 2
)

// scanHTTPBody reads the JSON within a message of Vertex AI.
func (r *Request) scanHTTPBody(message []byte, kind string, lim Limits) error {
	wrapper, whole := lastBytes(message, requestHTTPBody)
	var data []byte
	if whole || r.Truncated {
		var inner bool
		data, inner = lastBytes(wrapper, httpBodyData)
		whole = whole && inner
	}
	switch {
	case !whole && !r.Truncated:
		return malformed(kind)
	case wrapper == nil && !r.Truncated:
		return &FieldError{Message: kind + " has no HttpBody"}
	}
	if err := r.scanJSON(r.API, data, !r.Truncated, lim); err != nil {
		return fmt.Errorf("parsing %s: %w", kind, err)
	}
	return nil
}

func malformed(kind string) error {
	return &FieldError{Message: "unmarshaling " + kind + ": malformed protobuf message"}
}

// lastBytes is the value of a field that has a length, nil when it is not there. What is cut short is given as far as it is
// there, with whole false.
func lastBytes(message []byte, number protowire.Number) (value []byte, whole bool) {
	c := cursor{rest: message}
	for c.next() {
		if c.number == number && c.bytes != nil {
			value = c.bytes
		}
	}
	return value, !c.broken
}

// cursor walks over the fields of a message.
type cursor struct {
	rest   []byte
	number protowire.Number
	value  uint64 // of a number
	bytes  []byte // of a field that has a length, else nil
	cut    bool   // there is less of bytes than there should be
	broken bool   // the message is malformed or cut
}

// next goes to the next field. A field that is cut is the last one.
func (c *cursor) next() bool {
	if len(c.rest) == 0 || c.broken {
		return false
	}
	number, wire, n := protowire.ConsumeTag(c.rest)
	if n < 0 {
		return c.fail()
	}
	c.number, c.bytes, c.rest = number, nil, c.rest[n:]
	switch wire {
	case protowire.VarintType:
		c.value, n = protowire.ConsumeVarint(c.rest)
	case protowire.BytesType:
		return c.nextBytes()
	default:
		n = protowire.ConsumeFieldValue(number, wire, c.rest)
	}
	if n < 0 {
		return c.fail()
	}
	c.rest = c.rest[n:]
	return true
}

func (c *cursor) nextBytes() bool {
	size, n := protowire.ConsumeVarint(c.rest)
	if n < 0 {
		return c.fail()
	}
	c.bytes = c.rest[n:]
	if size > uint64(len(c.bytes)) {
		c.cut, c.broken = true, true
		return true
	}
	c.rest, c.bytes = c.bytes[size:], c.bytes[:size:size]
	return true
}

func (c *cursor) fail() bool {
	c.broken = true
	return false
}

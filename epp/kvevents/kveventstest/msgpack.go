package kveventstest

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Pack is a value as msgpack: nil, bool, int, uint64, float64, string, []byte, []int, []uint64, []any, and Pairs.
func Pack(value any) []byte { return appendValue(nil, value) }

// Pairs is a map, name and value in turn.
type Pairs []any

// Raw is msgpack already.
type Raw []byte

func appendValue(out []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(out, 0xc0)
	case Raw:
		return append(out, v...)
	case bool:
		if v {
			return append(out, 0xc3)
		}
		return append(out, 0xc2)
	case int:
		if v < 0 {
			return binary.BigEndian.AppendUint64(append(out, 0xd3), uint64(v))
		}
		return appendUint(out, uint64(v))
	case uint64:
		return appendUint(out, v)
	case float64:
		return binary.BigEndian.AppendUint64(append(out, 0xcb), math.Float64bits(v))
	case string:
		return append(binary.BigEndian.AppendUint16(append(out, 0xda), uint16(len(v))), v...)
	case []byte:
		return append(append(out, 0xc4, byte(len(v))), v...)
	case []int:
		out = head(out, len(v))
		for _, item := range v {
			out = appendValue(out, item)
		}
		return out
	case []uint64:
		out = head(out, len(v))
		for _, item := range v {
			out = appendValue(out, item)
		}
		return out
	case []any:
		out = head(out, len(v))
		for _, item := range v {
			out = appendValue(out, item)
		}
		return out
	case Pairs:
		out = append(out, 0x80|byte(len(v)/2))
		for _, item := range v {
			out = appendValue(out, item)
		}
		return out
	}
	panic(fmt.Sprintf("msgpack: %T", value))
}

func head(out []byte, n int) []byte {
	if n < 16 {
		return append(out, 0x90|byte(n))
	}
	return binary.BigEndian.AppendUint32(append(out, 0xdd), uint32(n))
}

func appendUint(out []byte, v uint64) []byte {
	switch {
	case v < 128:
		return append(out, byte(v))
	case v <= 0xff:
		return append(out, 0xcc, byte(v))
	case v <= 0xffff:
		return binary.BigEndian.AppendUint16(append(out, 0xcd), uint16(v))
	case v <= 0xffffffff:
		return binary.BigEndian.AppendUint32(append(out, 0xce), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(out, 0xcf), v)
}

// Batch is the payload of a message.
func Batch(events ...[]byte) []byte {
	list := make([]any, len(events))
	for i, e := range events {
		list[i] = Raw(e)
	}
	return Pack([]any{1.5, list, 0})
}

// Stored is the event of blocks with these names and tokens; parent is nil or the name before them.
func Stored(hashes []uint64, parent any, tokens []int, blockSize int) []byte {
	return Pack([]any{"BlockStored", hashes, parent, tokens, blockSize, nil, "GPU", nil})
}

// Removed is the event of blocks that are gone from the GPU.
func Removed(hashes ...uint64) []byte { return Pack([]any{"BlockRemoved", hashes, "GPU"}) }

// Cleared is the event of an empty cache.
func Cleared() []byte { return Pack([]any{"AllBlocksCleared"}) }

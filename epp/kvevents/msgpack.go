package kvevents

import (
	"encoding/binary"
	"errors"
)

var (
	errShort = errors.New("msgpack: the message is cut short")
	errKind  = errors.New("msgpack: a value of an unexpected kind")
)

// reader reads msgpack values off a message, without copying.
type reader struct {
	b  []byte
	at int
}

func (r *reader) take(n int) ([]byte, error) {
	if n < 0 || n > len(r.b)-r.at {
		return nil, errShort
	}
	r.at += n
	return r.b[r.at-n : r.at], nil
}

// size reads a length of 1, 2 or 4 bytes.
func (r *reader) size(width int) (int, error) {
	raw, err := r.take(width)
	if err != nil {
		return 0, err
	}
	switch width {
	case 1:
		return int(raw[0]), nil
	case 2:
		return int(binary.BigEndian.Uint16(raw)), nil
	}
	return int(binary.BigEndian.Uint32(raw)), nil
}

// head reads the first byte of a value.
func (r *reader) head() (byte, error) {
	if r.at >= len(r.b) {
		return 0, errShort
	}
	r.at++
	return r.b[r.at-1], nil
}

// null reads a nil, if one is next.
func (r *reader) null() bool {
	if r.at < len(r.b) && r.b[r.at] == 0xc0 {
		r.at++
		return true
	}
	return false
}

// array reads the beginning of an array and gives its length.
func (r *reader) array() (int, error) { return r.begin(0x90, 0xdc, 1) }

// object reads the beginning of a map and gives the number of its pairs.
func (r *reader) object() (int, error) { return r.begin(0x80, 0xde, 2) }

// begin reads the beginning of something with members, of at least so many bytes each, and gives their number. Up to 15 the number is in
// the first byte, above fixed; it has two bytes behind long, and four behind the byte after that.
func (r *reader) begin(fixed, long byte, each int) (int, error) {
	h, err := r.head()
	if err != nil {
		return 0, err
	}
	n := 0
	switch {
	case h&0xf0 == fixed:
		n = int(h & 0x0f)
	case h == long:
		n, err = r.size(2)
	case h == long+1:
		n, err = r.size(4)
	default:
		return 0, errKind
	}
	if err == nil && n > (len(r.b)-r.at)/each {
		return 0, errShort
	}
	return n, err
}

// text reads a string, or bytes.
func (r *reader) text() ([]byte, error) {
	h, err := r.head()
	if err != nil {
		return nil, err
	}
	n := 0
	switch {
	case h >= 0xa0 && h <= 0xbf:
		n = int(h & 0x1f)
	case h == 0xd9, h == 0xc4:
		n, err = r.size(1)
	case h == 0xda, h == 0xc5:
		n, err = r.size(2)
	case h == 0xdb, h == 0xc6:
		n, err = r.size(4)
	default:
		return nil, errKind
	}
	if err != nil {
		return nil, err
	}
	return r.take(n)
}

// integer reads an integer; one below 0 comes in two's complement.
func (r *reader) integer() (uint64, error) {
	h, err := r.head()
	if err != nil {
		return 0, err
	}
	switch {
	case h <= 0x7f:
		return uint64(h), nil
	case h >= 0xe0:
		return uint64(int64(int8(h))), nil
	case h < 0xcc || h > 0xd3:
		return 0, errKind
	}
	raw, err := r.take(1 << (h & 3))
	if err != nil {
		return 0, err
	}
	switch h {
	case 0xcc:
		return uint64(raw[0]), nil
	case 0xcd:
		return uint64(binary.BigEndian.Uint16(raw)), nil
	case 0xce:
		return uint64(binary.BigEndian.Uint32(raw)), nil
	case 0xd0:
		return uint64(int64(int8(raw[0]))), nil
	case 0xd1:
		return uint64(int64(int16(binary.BigEndian.Uint16(raw)))), nil
	case 0xd2:
		return uint64(int64(int32(binary.BigEndian.Uint32(raw)))), nil
	}
	return binary.BigEndian.Uint64(raw), nil
}

// isArray, isInteger and isText tell what is next.
func (r *reader) isArray() bool {
	h, ok := r.next()
	return ok && (h >= 0x90 && h <= 0x9f || h == 0xdc || h == 0xdd)
}

func (r *reader) isInteger() bool {
	h, ok := r.next()
	return ok && (h <= 0x7f || h >= 0xe0 || h >= 0xcc && h <= 0xd3)
}

func (r *reader) isText() bool {
	h, ok := r.next()
	return ok && (h >= 0xa0 && h <= 0xbf || h >= 0xd9 && h <= 0xdb || h >= 0xc4 && h <= 0xc6)
}

func (r *reader) next() (byte, bool) {
	if r.at >= len(r.b) {
		return 0, false
	}
	return r.b[r.at], true
}

// skip passes over one value, however deep it is nested: what is left to pass over is counted, not recursed into.
func (r *reader) skip() error {
	for left := 1; left > 0; left-- {
		h, err := r.head()
		if err != nil {
			return err
		}
		inside, size, width := 0, 0, 0
		switch {
		case h <= 0x7f, h >= 0xe0, h >= 0xc0 && h <= 0xc3:
		case h <= 0x8f:
			inside = 2 * int(h&0x0f)
		case h <= 0x9f:
			inside = int(h & 0x0f)
		case h <= 0xbf:
			size = int(h & 0x1f)
		case h >= 0xc4 && h <= 0xc6:
			width = 1 << (h - 0xc4)
		case h >= 0xc7 && h <= 0xc9: // extensions have a type besides
			width, size = 1<<(h-0xc7), 1
		case h == 0xca:
			size = 4
		case h == 0xcb:
			size = 8
		case h <= 0xd3:
			size = 1 << (h & 3)
		case h <= 0xd8:
			size = 1 + 1<<(h-0xd4)
		case h <= 0xdb:
			width = 1 << (h - 0xd9)
		default:
			n, err := r.size(2 << (h & 1))
			if err != nil {
				return err
			}
			if inside = n; h >= 0xde {
				inside = 2 * n
			}
		}
		if width > 0 {
			n, err := r.size(width)
			if err != nil {
				return err
			}
			size += n
		}
		if _, err := r.take(size); err != nil {
			return err
		}
		if left += inside; left > len(r.b)-r.at+1 {
			return errShort
		}
	}
	return nil
}

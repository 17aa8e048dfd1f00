package usage

import "encoding/binary"

// messageReader reads the fields of one kind of protobuf message, of which level 0 is the message and level 1 a message
// within it.
type messageReader interface {
	// begin is called before each message.
	begin()
	// varint gives a number.
	varint(level int, field uint64, value uint64)
	// enter asks what to do with a field that has a length.
	enter(level int, field uint64) handling
	// data gives the next bytes of a field that is handed over.
	data(field uint64, piece []byte)
	// spoil tells that the message within the message is not well formed, or none at all; what follows it is read.
	spoil()
	// end is called after each message that was whole and not compressed; broken tells that it was not well formed.
	end(broken bool)
	tokens() Tokens
}

// handling is what is done with the bytes of a field.
type handling uint8

const (
	skip handling = iota
	descend
	handOver
)

const frameHeader = 5 // one byte of flags, the length in four

// frameReader walks over gRPC messages that come in pieces and keeps none of their bytes.
type frameReader struct {
	reader messageReader
	head   [frameHeader]byte
	n      int  // bytes of head that are there
	inside bool // a message is being read
	passed bool // it is compressed: not read
	broken bool
	left   [2]uint64 // bytes left of the message, and of the message within it
	level  int
	state  wireState
	number uint64 // of a varint that is being read
	shift  uint
	field  uint64
	action handling
	run    uint64 // bytes left of what is skipped or handed over
}

type wireState uint8

const (
	readTag wireState = iota
	readVarint
	readLength
	readRun
)

func newFrameReader(reader messageReader) *frameReader { return &frameReader{reader: reader} }

func (r *frameReader) write(piece []byte) {
	for len(piece) > 0 {
		if !r.inside {
			n := copy(r.head[r.n:], piece)
			r.n += n
			piece = piece[n:]
			if r.n == frameHeader {
				r.beginMessage()
			}
			continue
		}
		piece = piece[r.consume(piece):]
		r.leave()
	}
}

func (r *frameReader) beginMessage() {
	r.n, r.inside, r.broken, r.level, r.state = 0, true, false, 0, readTag
	r.shift, r.number = 0, 0
	r.left[0] = uint64(binary.BigEndian.Uint32(r.head[1:]))
	r.passed = r.head[0] != 0
	r.reader.begin()
	if r.passed {
		r.skipRest()
	}
	r.leave()
}

// leave closes what is read to its end.
func (r *frameReader) leave() {
	if r.level == 1 && r.left[1] == 0 {
		if r.state != readTag || r.shift > 0 {
			r.reader.spoil()
		}
		r.level, r.state, r.shift, r.number = 0, readTag, 0, 0
	}
	if r.inside && r.left[0] == 0 {
		r.inside = false
		if !r.passed {
			r.reader.end(r.broken || r.state != readTag || r.shift > 0)
		}
	}
}

// skipRest walks over what is left at the level.
func (r *frameReader) skipRest() {
	r.state, r.action, r.run = readRun, skip, r.left[r.level]
	if r.run == 0 {
		r.state = readTag
	}
}

// fail notes that the innermost open message is broken and skips what is left of it.
func (r *frameReader) fail() {
	if r.level == 1 {
		r.reader.spoil()
	} else {
		r.broken = true
	}
	r.skipRest()
}

func (r *frameReader) count(n uint64) {
	r.left[0] -= n
	if r.level == 1 {
		r.left[1] -= n
	}
}

// consume takes at least one byte, all of them within the innermost open message, and gives how many.
func (r *frameReader) consume(piece []byte) int {
	if r.state == readRun {
		n := min(uint64(len(piece)), r.run)
		r.count(n)
		r.run -= n
		if r.action == handOver {
			r.reader.data(r.field, piece[:n])
		}
		if r.run == 0 {
			r.state, r.shift, r.number = readTag, 0, 0
		}
		return int(n)
	}
	c := piece[0]
	r.count(1)
	if r.shift > 63 {
		r.fail()
		return 1
	}
	r.number |= uint64(c&0x7f) << r.shift
	r.shift += 7
	if c >= 0x80 {
		return 1
	}
	value := r.number
	r.number, r.shift = 0, 0
	r.varint(value)
	return 1
}

// varint takes a tag, a number or a length.
func (r *frameReader) varint(value uint64) {
	switch r.state {
	case readTag:
		r.field = value >> 3
		switch value & 7 {
		case 0:
			r.state = readVarint
		case 1:
			r.startRun(skip, 8)
		case 2:
			r.state = readLength
		case 5:
			r.startRun(skip, 4)
		default:
			r.fail()
		}
	case readVarint:
		r.state = readTag
		r.reader.varint(r.level, r.field, value)
	case readLength:
		if value > r.left[r.level] {
			r.fail()
			return
		}
		action := r.reader.enter(r.level, r.field)
		if action == descend && r.level == 0 {
			r.level, r.left[1], r.state = 1, value, readTag
			return
		}
		r.startRun(action, value)
	}
}

func (r *frameReader) startRun(action handling, n uint64) {
	if n > r.left[r.level] {
		r.fail()
		return
	}
	r.state, r.action, r.run = readRun, action, n
	if n == 0 {
		r.state = readTag
	}
}

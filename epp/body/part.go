package body

// kind is what a part of a prompt is.
type kind uint8

const (
	textPart  kind = iota // a string: the text it stands for
	rawPart               // JSON as it stands
	image                 // a URL, or the bytes themselves in base64; so are the next two
	video                 // …
	audio                 // …
	uncertain             // the body ended where something may follow that comes before what was seen: nothing after it counts
	dropped               // nothing
)

// part is a piece of a prompt, noted while the scanner walks over the body. Offsets fit: no body has 4 GiB.
type part struct {
	start, end uint32 // within the quotes of a string; equal: there is none
	mark       uint32 // index of the first mark of a string
	kind       kind
	escaped    bool // the string has escapes in it
	cut        bool // the body ended within it
	line       bool // a line break is put before it
	ends       bool // a prompt of its own ends with it
}

// maxParts bounds the memory that a body of tiny parts can ask for. What comes after is not hashed.
const maxParts = 1 << 16

// maxMarks bounds the escapes whose places are noted. What comes after is searched for again.
const maxMarks = 1 << 16

// keptParts bounds the parts that a request keeps memory for.
const keptParts = 4096

// note adds a part and gives its index, -1 when there is no room.
func (s *scanner) note(p part) int {
	if len(s.parts) >= maxParts {
		s.overflow = true
		return -1
	}
	s.parts = append(s.parts, p)
	return len(s.parts) - 1
}

// readString walks over a string and gives where it is. What is cut ends with the body.
func (s *scanner) readString(k kind) (part, bool) {
	s.i++
	p := part{start: uint32(s.i), mark: uint32(len(s.marks)), kind: k}
	s.marking = true
	ok := s.skipString()
	s.marking = false
	p.end, p.escaped, p.cut = uint32(s.i-1), s.escaped, !ok
	if !ok {
		p.end = uint32(len(s.b))
	}
	return p, ok
}

// mark notes that an escape stands at i.
func (s *scanner) mark(i int) {
	if len(s.marks) < maxMarks {
		s.marks = append(s.marks, uint32(i))
	}
}

// noteString walks over a string and notes it, unless it is empty.
func (s *scanner) noteString(k kind) bool {
	p, ok := s.readString(k)
	if p.start < p.end {
		s.note(p)
	}
	return ok
}

// next goes to the next element or member of what the scanner is in; more is false after its closing bracket.
func (s *scanner) next(closing byte, first bool) (more, ok bool) {
	switch c := s.peek(); {
	case c == closing:
		s.i++
		return false, true
	case first:
		return true, true
	case c == ',':
		s.i++
		return true, true
	}
	return false, s.unexpected(wantComma)
}

// nextMember goes to the value of the next member of the object the scanner is in and gives the member's name.
func (s *scanner) nextMember(first bool) (name []byte, more, ok bool) {
	if more, ok = s.next('}', first); !more {
		return nil, false, ok
	}
	raw, ok := s.skipKey()
	if !ok {
		return nil, false, false
	}
	return s.plainName(raw), true, true
}

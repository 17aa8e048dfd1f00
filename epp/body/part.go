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

// noted is what the scanner notes of a body beside its fields.
type noted struct {
	parts []part   // of all fields, in the order of the body
	marks []uint32 // where escapes stand in the strings of parts
}

// maxParts bounds the memory that a body of tiny parts can ask for. What comes after is not hashed.
const maxParts = 1 << 16

// maxMarks bounds the escapes whose places are noted. What comes after is searched for again.
const maxMarks = 1 << 16

// keptParts bounds the parts that a request keeps memory for.
const keptParts = 4096

// note adds a part and gives its index, -1 when there is no room.
func (s *scanner) note(p part) int {
	if len(s.noted.parts) >= maxParts {
		s.overflow = true
		return -1
	}
	s.noted.parts = append(s.noted.parts, p)
	return len(s.noted.parts) - 1
}

// readString walks over a string and writes where it is. What is cut ends with the body.
func (s *scanner) readString(p *part, k kind) bool {
	s.i++
	p.kind, p.start, p.mark = k, uint32(s.i), uint32(len(s.noted.marks))
	s.marking = true
	ok := s.skipString()
	s.marking = false
	p.escaped, p.cut, p.end = s.escaped, !ok, uint32(s.i-1)
	if !ok {
		p.end = uint32(len(s.b))
	}
	return ok
}

// noteString walks over a string and notes it, unless it is empty.
func (s *scanner) noteString(ends bool) bool {
	at := s.note(part{ends: ends})
	if at < 0 {
		return s.skipScalar('"')
	}
	p := &s.noted.parts[at]
	ok := s.readString(p, textPart)
	if p.start == p.end {
		s.noted.parts = s.noted.parts[:at]
	}
	return ok
}

// mark notes that an escape stands at i.
func (s *scanner) mark(i int) {
	if len(s.noted.marks) < maxMarks {
		s.noted.marks = append(s.noted.marks, uint32(i))
	}
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

package body

// watch notes, while the scanner walks over JSON of any form, the parts of it that are no text.
type watch struct {
	on     bool
	want   wanted
	last   int  // index of the part whose payload is wanted
	depth  int  // of the object that has the payload, for insideObject
	source bool // an image of Anthropic's API is announced; its payload is in "source"
	parent int  // depth of the part that announces it
}

// wanted is where the payload of the part found last is.
type wanted uint8

const (
	nothing      wanted = iota
	nextValue           // is the next value, or in the object that is
	insideObject        // is the member "url" or "data" of an object
)

// hasMedia has the fields whose values are hashed as JSON and may have such parts.
var hasMedia = [fieldCount]bool{fieldInput: true, fieldItems: true}

// noteMedia looks at the name of a member, whose value the scanner is about to walk over.
func (s *scanner) noteMedia(name []byte, depth int) {
	w := &s.watch
	if !w.on {
		return
	}
	if w.want == nextValue || depth < w.depth {
		w.want = nothing
	}
	switch string(name) {
	case "url", "data":
		if w.want == insideObject && depth == w.depth {
			w.want = nextValue
		}
	case "image_url":
		s.expect(image)
	case "video_url":
		s.expect(video)
	case "audio_url", "input_audio":
		s.expect(audio)
	case "type":
		announced := s.peek() == '"' && startsWith(s.b[s.i:], `"image"`)
		if announced || depth <= w.parent {
			w.source, w.parent = announced, depth
		}
	case "source":
		if w.source && depth == w.parent {
			s.expect(image)
		}
	}
}

func startsWith(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

// expect notes a part whose payload is still to come.
func (s *scanner) expect(k kind) {
	w := &s.watch
	w.source = false
	if w.last = s.note(part{kind: k, start: uint32(s.i), end: uint32(s.i)}); w.last >= 0 {
		w.want, w.depth = nextValue, 0
	}
}

// open notes that an object or array begins, whose members are at this depth.
func (w *watch) open(depth int) {
	if w.want == nextValue {
		w.want, w.depth = insideObject, depth
	}
}

// payload takes a string that was walked over, its quotes included.
func (s *scanner) payload(start int, whole bool) {
	w := &s.watch
	if w.want != nextValue {
		return
	}
	w.want, w.depth = nothing, 0
	last := &s.noted.parts[w.last]
	last.start, last.end, last.escaped, last.cut = uint32(start+1), uint32(s.i-1), s.escaped, !whole
	if !whole {
		last.end = uint32(s.i)
	}
}

// hashMedium hashes a part that is no text as the tokens it becomes: bytes of a file are no text.
func (r *Request) hashMedium(h *hasher, body []byte, p *part) {
	r.count(p.kind)
	payload := body[p.start:p.end]
	tokens := defaultTokens
	switch p.kind {
	case video:
		tokens = h.videoTokens
	case image:
		var plain [headerBytes * 2]byte
		head := payload
		if p.escaped {
			head = plain[:copyText(plain[:], payload)]
		}
		tokens = imageTokens(head)
	}
	if p.cut {
		h.stop()
	}
	h.placeholder(payload, p.escaped, tokens)
}

func (r *Request) count(k kind) {
	r.Multimodal = true
	switch k {
	case image:
		r.Images++
	case video:
		r.Videos++
	case audio:
		r.Audios++
	}
}

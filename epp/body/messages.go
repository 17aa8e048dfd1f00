package body

// readMessages walks over a list of messages, itself at the depth given, and notes role and content of each.
func (s *scanner) readMessages(depth int) bool {
	if s.peek() != '[' {
		return s.skipValue(depth)
	}
	s.i++
	for first := true; ; first = false {
		more, ok := s.next(']', first)
		if !more {
			return ok
		}
		if s.peek() == '{' {
			ok = s.readMessage(depth + 1)
		} else {
			ok = s.skipValue(depth + 1)
		}
		if !ok {
			return false
		}
	}
}

// readMessage notes the role first, wherever it stands.
func (s *scanner) readMessage(depth int) bool {
	role := s.note(part{})
	if role < 0 {
		return s.skipValue(depth)
	}
	s.i++
	for first := true; ; first = false {
		name, more, ok := s.nextMember(first)
		if more {
			ok = s.readMessageMember(name, role, depth+1)
		}
		switch at := &s.noted.parts[role]; {
		case !ok && at.start == at.end:
			at.kind = uncertain
		case ok && !more && len(s.noted.parts) == role+1 && at.start == at.end:
			s.noted.parts = s.noted.parts[:role]
		}
		if !more || !ok {
			return ok
		}
	}
}

func (s *scanner) readMessageMember(name []byte, role, depth int) bool {
	c := s.peek()
	switch {
	case string(name) == "role" && c == '"':
		return s.readString(&s.noted.parts[role], textPart)
	case string(name) == "content":
		s.noted.parts = s.noted.parts[:role+1] // of two the last one counts
		return s.readContent(depth, false)
	}
	return s.skipValue(depth)
}

// readContent notes the content of a message: text, or a list of parts. Within a part of another content it is a tool's
// result, whose texts stand on lines of their own.
func (s *scanner) readContent(depth int, result bool) bool {
	switch s.peek() {
	case '"':
		return s.noteString(false)
	case '[':
	default:
		return s.skipValue(depth)
	}
	s.i++
	hadText := false
	for first := true; ; first = false {
		more, ok := s.next(']', first)
		if !more {
			return ok
		}
		at := len(s.noted.parts)
		switch s.peek() {
		case '{':
			ok = s.readPart(depth+1, result)
		case '"':
			ok = s.noteString(false)
		default:
			ok = s.skipValue(depth + 1)
		}
		if result && at < len(s.noted.parts) && s.noted.parts[at].kind == textPart {
			s.noted.parts[at].line, hadText = hadText, true
		}
		if !ok {
			return false
		}
	}
}

// messagePart is what a part of a message may have that counts only together with its type.
type messagePart struct {
	image, tool     bool // the type
	source          int  // index of the part noted for a source, which is an image if the type says so
	id, name, input part // of a tool's use, in this order
}

// readPart notes a part of a message's content: text, what is no text, the use of a tool or its result.
func (s *scanner) readPart(depth int, result bool) bool {
	p := messagePart{source: -1}
	s.i++
	for first := true; ; first = false {
		name, more, ok := s.nextMember(first)
		if more {
			ok = s.readPartMember(name, &p, depth+1, result)
		}
		if !more || !ok {
			s.notePart(&p, ok)
			return ok
		}
	}
}

func (s *scanner) readPartMember(name []byte, p *messagePart, depth int, result bool) bool {
	c := s.peek()
	switch string(name) {
	case "text", "thinking":
		if c == '"' {
			return s.noteString(false)
		}
	case "type":
		p.image, p.tool = startsWith(s.b[s.i:], `"image"`), startsWith(s.b[s.i:], `"tool_use"`)
	case "image_url":
		return s.readMedium(image, depth)
	case "video_url":
		return s.readMedium(video, depth)
	case "audio_url", "input_audio":
		return s.readMedium(audio, depth)
	case "source":
		p.source = len(s.noted.parts)
		return s.readMedium(image, depth)
	case "content":
		if !result {
			return s.readContent(depth, true)
		}
	case "id":
		return s.readValue(&p.id, depth)
	case "name":
		return s.readValue(&p.name, depth)
	case "input":
		return s.readValue(&p.input, depth)
	}
	return s.skipValue(depth)
}

// notePart decides, at the end of a part, about what its type makes something of.
func (s *scanner) notePart(p *messagePart, whole bool) {
	if p.source >= 0 && p.source < len(s.noted.parts) && !p.image {
		s.noted.parts[p.source].kind = dropped
		if !whole {
			s.noted.parts[p.source].kind = uncertain
		}
	}
	seen := [...]part{p.id, p.name, p.input}
	for _, value := range seen {
		switch {
		case value.start == value.end:
		case !whole:
			s.note(part{kind: uncertain})
			return
		case p.tool:
			s.note(value)
		}
	}
}

// readValue walks over a value and writes where it is: a string as text, anything else as it stands.
func (s *scanner) readValue(p *part, depth int) bool {
	if s.peek() == '"' {
		return s.readString(p, textPart)
	}
	*p = part{start: uint32(s.i), kind: rawPart}
	ok := s.skipValue(depth)
	p.end, p.cut = uint32(s.i), !ok
	return ok
}

// readMedium notes a part that is no text. Its payload is a string, or the member "url" or "data" of an object.
func (s *scanner) readMedium(k kind, depth int) (ok bool) {
	p := part{kind: k}
	switch s.peek() {
	case '"':
		ok = s.readString(&p, k)
	case '{':
		s.i++
		for first, more := true, true; more; first = false {
			var name []byte
			if name, more, ok = s.nextMember(first); !more {
				break
			}
			if c := s.peek(); c == '"' && (string(name) == "url" || string(name) == "data") {
				ok = s.readString(&p, k)
			} else {
				ok = s.skipValue(depth + 1)
			}
			more = ok
		}
	default:
		ok = s.skipValue(depth)
	}
	p.cut = !ok
	s.note(p)
	return ok
}

// readPrompts notes a prompt, or each of a list of prompts. A list of anything but text is walked over.
func (s *scanner) readPrompts(depth int) bool {
	switch s.peek() {
	case '"':
		return s.noteString(true)
	case '[':
	default:
		return s.skipValue(depth)
	}
	start := s.i
	s.i++
	if s.peek() != '"' {
		s.i = start
		return s.skipValue(depth)
	}
	for first := true; ; first = false {
		more, ok := s.next(']', first)
		if !more {
			return ok
		}
		if s.peek() == '"' {
			ok = s.noteString(true)
		} else {
			ok = s.skipValue(depth + 1)
		}
		if !ok {
			return false
		}
	}
}

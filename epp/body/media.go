package body

import (
	"github.com/zeebo/xxh3"
)

// medium is a kind of part that is no text.
type medium uint8

const (
	image medium = iota
	video
	audio
)

// media is a part of a message that is no text: a URL, or the bytes themselves in base64.
type media struct {
	medium medium
	start  int // of the string that holds it, quotes included
	end    int // start: there is none
}

// hasMedia has the fields whose values may have such parts.
var hasMedia = [fieldCount]bool{fieldMessages: true, fieldInput: true, fieldItems: true}

// watch notes the media of a value while the scanner walks over it.
type watch struct {
	found  []media
	on     bool
	want   wanted
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
		w.add(image, s.i)
	case "video_url":
		w.add(video, s.i)
	case "audio_url", "input_audio":
		w.add(audio, s.i)
	case "type":
		announced := s.peek() == '"' && startsWith(s.b[s.i:], `"image"`)
		if announced || depth <= w.parent {
			w.source, w.parent = announced, depth
		}
	case "source":
		if w.source && depth == w.parent {
			w.add(image, s.i)
		}
	}
}

func startsWith(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

func (w *watch) add(m medium, at int) {
	w.found = append(w.found, media{medium: m, start: at, end: at})
	w.want, w.depth, w.source = nextValue, 0, false
}

// open notes that an object or array begins, whose members are at this depth.
func (w *watch) open(depth int) {
	if w.want == nextValue {
		w.want, w.depth = insideObject, depth
	}
}

// payload takes a string that was walked over.
func (w *watch) payload(start, end int) {
	if w.want == nextValue {
		last := &w.found[len(w.found)-1]
		last.start, last.end = start, end
		w.want, w.depth = nothing, 0
	}
}

// hashText hashes a field of text. A part that is no text counts, and is hashed, as the tokens it becomes: bytes of a file are
// no text.
func (r *Request) hashText(h *hasher, body []byte, f field, v value) {
	from := v.start
	for _, m := range r.media {
		if m.start < v.start || m.start >= v.end && !(v.cut && m.start == v.end) {
			continue
		}
		r.count(m.medium)
		tokens := defaultTokens
		if m.end > m.start {
			payload := body[m.start:m.end]
			cut := v.cut && m.end == v.end
			if m.medium == image {
				tokens = imageTokens(payload)
			}
			h.add(f, body[from:m.start], true)
			h.addMedia(xxh3.Hash(payload), tokens*tokenBytes, !cut)
			r.PromptBytes += m.start - from
			from = m.end
		}
		r.PromptBytes += tokens * tokenBytes
	}
	r.PromptBytes += v.end - from
	h.add(f, body[from:v.end], !v.cut)
}

func (r *Request) count(m medium) {
	r.Multimodal = true
	switch m {
	case image:
		r.Images++
	case video:
		r.Videos++
	case audio:
		r.Audios++
	}
}

package producer

import (
	"bytes"

	"github.com/zeebo/xxh3"
)

// mediaPart is an image, a sound or a video of a prompt: what the encoder of a model works on.
type mediaPart struct {
	hash     uint64
	modality string
}

// Bounds of the walk over a body.
const (
	maxMediaParts = 256
	maxMediaDepth = 512
)

// mediaMembers are the members of a content part that hold media, by the modality that metrics know. An Anthropic source is
// an image or the pages of a document.
var mediaMembers = map[string]string{
	"image_url": "image", "source": "image", "video_url": "video", "audio_url": "audio", "input_audio": "audio",
}

// mediaOf finds the media of a prompt and hashes each where it lies: its URL or its data, as the client wrote it. A part that
// the end of the body cuts, and what comes after it, is not found; neither is more than maxMediaParts. Parts that are there
// several times count once. The body is JSON as far as it goes, or the answer means nothing.
func mediaOf(body []byte, parts []mediaPart) []mediaPart {
	w := mediaWalk{b: body, parts: parts}
	if w.next() == '{' {
		w.object(1, w.topLevel)
	}
	return w.parts
}

// mediaWalk walks over JSON in place. Its methods give false when the walk is over.
type mediaWalk struct {
	b     []byte
	i     int
	parts []mediaPart
}

// topLevel looks into the prompt and past everything else.
func (w *mediaWalk) topLevel(name []byte, depth int) bool {
	switch string(name) {
	case "messages", "input":
		return w.value(depth, w.member)
	}
	return w.value(depth, w.skip)
}

// member looks at one member of an object of the prompt.
func (w *mediaWalk) member(name []byte, depth int) bool {
	modality, isMedia := mediaMembers[string(name)]
	if !isMedia {
		return w.value(depth, w.member)
	}
	if w.next() == '"' {
		return w.hashed(modality)
	}
	return w.value(depth, func(name []byte, depth int) bool {
		if (string(name) == "url" || string(name) == "data") && w.next() == '"' {
			return w.hashed(modality)
		}
		return w.value(depth, w.skip)
	})
}

// skip looks past a member.
func (w *mediaWalk) skip(_ []byte, depth int) bool { return w.value(depth, w.skip) }

// hashed takes up the string that comes.
func (w *mediaWalk) hashed(modality string) bool {
	text, ok := w.text()
	if !ok || len(w.parts) >= maxMediaParts {
		return false
	}
	w.parts = addPart(w.parts, mediaPart{hash: xxh3.Hash(text), modality: modality})
	return true
}

// addPart adds a part that is not there yet, as long as there is room.
func addPart(parts []mediaPart, part mediaPart) []mediaPart {
	for i := range parts {
		if parts[i].hash == part.hash {
			return parts
		}
	}
	if len(parts) >= maxMediaParts {
		return parts
	}
	return append(parts, part)
}

// value walks over the value that comes and has each looks at the members of objects in it.
func (w *mediaWalk) value(depth int, each func(name []byte, depth int) bool) bool {
	switch w.next() {
	case 0:
		return false
	case '{':
		return depth < maxMediaDepth && w.object(depth+1, each)
	case '[':
		return depth < maxMediaDepth && w.array(depth+1, each)
	case '"':
		_, ok := w.text()
		return ok
	}
	end := bytes.IndexAny(w.b[w.i:], ",]} \t\r\n")
	w.i += max(end, 0)
	return end > 0
}

func (w *mediaWalk) object(depth int, each func(name []byte, depth int) bool) bool {
	w.i++
	for {
		switch w.next() {
		case '}':
			w.i++
			return true
		case ',':
			w.i++
		case '"':
			name, ok := w.text()
			if !ok || w.next() != ':' {
				return false
			}
			w.i++
			if !each(name, depth) {
				return false
			}
		default:
			return false
		}
	}
}

func (w *mediaWalk) array(depth int, each func(name []byte, depth int) bool) bool {
	w.i++
	for {
		switch w.next() {
		case ']':
			w.i++
			return true
		case ',':
			w.i++
		default:
			if !w.value(depth, each) {
				return false
			}
		}
	}
}

// text walks over the string that comes and gives what is between its quotes. Data of images is long and has no escapes: the
// next quote is found as fast as memory is read.
func (w *mediaWalk) text() (raw []byte, ok bool) {
	start := w.i + 1
	at := start
	for {
		quote := bytes.IndexByte(w.b[at:], '"')
		if quote < 0 {
			return nil, false
		}
		end := at + quote
		at = end + 1
		backslashes := 0
		for end-1-backslashes >= start && w.b[end-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			w.i = at
			return w.b[start:end], true
		}
	}
}

// next skips white space and gives the byte that comes, 0 at the end.
func (w *mediaWalk) next() byte {
	for w.i < len(w.b) {
		switch c := w.b[w.i]; c {
		case ' ', '\t', '\r', '\n':
			w.i++
		default:
			return c
		}
	}
	return 0
}

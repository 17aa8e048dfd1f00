package extproc

import (
	"bytes"
	"encoding/json"
)

// maxUsageObject bounds the JSON of a usage object, in bytes; a longer one is not read.
const maxUsageObject = 8 << 10

// usageKey is what a usage object follows. A string in an answer cannot contain it: there its quotes are escaped.
var usageKey = []byte(`"usage"`)

// usageScanner finds usage objects in a response body that comes in pieces, server-sent events and plain JSON alike, keeping
// only what may belong to one. Objects that come later complete earlier ones.
type usageScanner struct {
	found usage
	state scanState
	// pending is the beginning of a possible key, or of an object being read.
	pending  []byte
	depth    int
	inString bool
	escaped  bool
}

type scanState uint8

const (
	seekKey scanState = iota
	seekObject
	readObject
)

// write takes the next piece.
func (s *usageScanner) write(piece []byte) {
	for len(piece) > 0 {
		switch s.state {
		case seekKey:
			piece = s.findKey(piece)
		case seekObject:
			piece = s.findObject(piece)
		case readObject:
			piece = s.copyObject(piece)
		}
	}
}

// findKey skips to behind the next key, which may have begun in an earlier piece.
func (s *usageScanner) findKey(piece []byte) []byte {
	if len(s.pending) > 0 {
		head := piece[:min(len(piece), len(usageKey)-1)]
		joined := append(s.pending, head...)
		if at := bytes.Index(joined, usageKey); at >= 0 {
			used := at + len(usageKey) - len(s.pending)
			s.pending = s.pending[:0]
			s.state = seekObject
			return piece[used:]
		}
		if len(piece) < len(usageKey)-1 {
			s.pending = keepKeyStart(s.pending[:0], joined)
			return nil
		}
		s.pending = s.pending[:0]
	}
	if at := bytes.Index(piece, usageKey); at >= 0 {
		s.state = seekObject
		return piece[at+len(usageKey):]
	}
	s.pending = keepKeyStart(s.pending[:0], piece)
	return nil
}

// keepKeyStart appends the end of text that may be the beginning of a key.
func keepKeyStart(dst, text []byte) []byte {
	tail := text[max(0, len(text)-len(usageKey)+1):]
	for len(tail) > 0 && !bytes.HasPrefix(usageKey, tail) {
		tail = tail[1:]
	}
	return append(dst, tail...)
}

// findObject skips a colon and white space; anything but an object ends the search (null, for one).
func (s *usageScanner) findObject(piece []byte) []byte {
	for i, c := range piece {
		switch c {
		case ':', ' ', '\t', '\r', '\n':
			continue
		case '{':
			s.state, s.depth, s.inString, s.escaped = readObject, 0, false, false
			s.pending = s.pending[:0]
			return piece[i:]
		}
		s.state = seekKey
		return piece[i:]
	}
	return nil
}

// copyObject collects the object up to its end and reads it.
func (s *usageScanner) copyObject(piece []byte) []byte {
	for i, c := range piece {
		switch {
		case s.escaped:
			s.escaped = false
		case s.inString:
			s.escaped = c == '\\'
			s.inString = c != '"'
		case c == '"':
			s.inString = true
		case c == '{':
			s.depth++
		case c == '}':
			s.depth--
			if s.depth == 0 {
				s.readUsage(append(s.pending, piece[:i+1]...))
				s.pending, s.state = s.pending[:0], seekKey
				return piece[i+1:]
			}
		}
		if len(s.pending)+i > maxUsageObject {
			s.pending, s.state = s.pending[:0], seekKey
			return piece[i:]
		}
	}
	s.pending = append(s.pending, piece...)
	return nil
}

func (s *usageScanner) readUsage(object []byte) {
	var given struct {
		PromptTokens     *int64 `json:"prompt_tokens"`
		InputTokens      *int64 `json:"input_tokens"`
		CompletionTokens *int64 `json:"completion_tokens"`
		OutputTokens     *int64 `json:"output_tokens"`
		PromptDetails    struct {
			Cached *int64 `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
		InputDetails struct {
			Cached *int64 `json:"cached_tokens"`
		} `json:"input_tokens_details"`
		CacheRead *int64 `json:"cache_read_input_tokens"`
	}
	if json.Unmarshal(object, &given) != nil {
		return
	}
	s.found.merge(usage{
		input:  firstNumber(given.PromptTokens, given.InputTokens),
		output: firstNumber(given.CompletionTokens, given.OutputTokens),
		cached: firstNumber(given.PromptDetails.Cached, given.InputDetails.Cached, given.CacheRead),
	})
}

func firstNumber(numbers ...*int64) int64 {
	for _, number := range numbers {
		if number != nil {
			return *number
		}
	}
	return -1
}

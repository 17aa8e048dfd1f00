package usage

import "github.com/switchyard/switchyard/epp/body"

// Scanner reads one answer. Its size is fixed. It belongs to one goroutine.
type Scanner struct {
	json   *jsonReader
	frames *frameReader
}

// New is a scanner for the answer to a request of an API: server-sent events, plain JSON or gRPC messages, which it tells
// apart itself. Of an API without usage (unknown ones, counting tokens) nothing is found.
func New(api body.API) *Scanner {
	switch api {
	case body.Unknown, body.CountTokens:
		return &Scanner{}
	case body.Messages:
		return &Scanner{json: newJSONReader(anthropic)}
	case body.SGLangGenerate:
		return &Scanner{json: newJSONReader(sglang)}
	case body.GRPCGenerate, body.GRPCEmbed:
		return &Scanner{frames: newFrameReader(&engineReader{embed: api == body.GRPCEmbed, found: Unknown})}
	case body.VertexChat, body.VertexRawPredict:
		inner := newJSONReader(openai)
		return &Scanner{json: inner, frames: newFrameReader(httpBodyReader{inner})}
	}
	return &Scanner{json: newJSONReader(openai)}
}

// Write takes the next piece of the answer, of any size.
func (s *Scanner) Write(piece []byte) {
	switch {
	case s.frames != nil:
		s.frames.write(piece)
	case s.json != nil:
		s.json.write(piece)
	}
}

// Found is what was reported so far; later reports complete and replace earlier ones.
func (s *Scanner) Found() Tokens {
	switch {
	case s.json != nil:
		return s.json.tokens()
	case s.frames != nil:
		return s.frames.reader.tokens()
	}
	return Unknown
}

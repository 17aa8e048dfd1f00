package usage

// engineReader reads the answers of vLLM's gRPC engine (vllm_engine.proto). Two versions of it are in use: in one a
// GenerateResponse has the chunk as field 1 and the last message as field 2, in the other these are fields 2 and 3 after
// a request id as field 1. An EmbedResponse has its numbers itself, or in a message as field 2.
type engineReader struct {
	embed  bool
	parts  [4]part // by field of the response; 0 is not used
	failed bool    // the response is an error
	prompt int64   // of an EmbedResponse that has it itself
	slot   int     // the part that is being read
	seen   int64   // tokens in the chunks so far
	found  Tokens
}

// part is a message within a response.
type part struct {
	there   bool
	broken  bool
	numbers [6]int64 // varints by field; 0 when not sent
	tokens  int64    // token ids in field 1
	reason  bool     // field 2 has a length: a finish reason, which only the last message has
}

func (e *engineReader) begin() {
	e.parts, e.failed, e.prompt = [4]part{}, false, 0
}

func (e *engineReader) varint(level int, field, value uint64) {
	switch {
	case level == 0 && field == 2:
		e.prompt = max(bounded(value), 0)
	case level == 1 && field == 1:
		e.parts[e.slot].tokens++ // token ids that are not packed
	case level == 1 && field < 6:
		e.parts[e.slot].numbers[field] = max(bounded(value), 0)
	}
}

func (e *engineReader) enter(level int, field uint64) handling {
	switch {
	case level == 0 && field == 4:
		e.failed = true
	case level == 0 && (field == 2 || !e.embed && (field == 1 || field == 3)):
		e.slot = int(field)
		e.parts[e.slot].there = true
		return descend
	case level == 1 && field == 1 && !e.embed:
		return handOver
	case level == 1 && field == 2:
		e.parts[e.slot].reason = true
	}
	return skip
}

// data counts packed token ids: the last byte of each has its top bit clear.
func (e *engineReader) data(_ uint64, piece []byte) {
	for _, c := range piece {
		if c < 0x80 {
			e.parts[e.slot].tokens++
		}
	}
}

func (e *engineReader) spoil() { e.parts[e.slot].broken = true }

func (e *engineReader) end(broken bool) {
	first, second, third := &e.parts[1], &e.parts[2], &e.parts[3]
	switch {
	case broken, e.failed, second.broken, third.broken:
	case e.embed:
		e.endEmbed(second)
	case third.there:
		e.endLast(third)
	case second.there && (first.there || second.numbers[2] > 0 && !second.reason):
		e.endChunk(second) // field 1 is the request id, which is not sent when it is empty
	case second.there:
		e.endLast(second)
	case first.there && !first.broken:
		e.endChunk(first)
	}
}

// endChunk takes over a GenerateStreamChunk. Some servers count in it what it holds, some what was generated so far; its
// token ids are new ones in any case.
func (e *engineReader) endChunk(p *part) {
	e.seen += p.tokens
	e.take(p.numbers[2], max(p.numbers[3], e.seen), p.numbers[4])
}

// endLast takes over a GenerateComplete.
func (e *engineReader) endLast(p *part) {
	e.take(p.numbers[3], max(p.numbers[4], e.seen, p.tokens), p.numbers[5])
}

func (e *engineReader) take(input, output, cached int64) {
	if input == 0 && output == 0 {
		return
	}
	if input > 0 {
		e.found.Input, e.found.Cached = input, cached
	}
	e.found.Output = max(output, e.found.Output)
}

func (e *engineReader) endEmbed(inner *part) {
	if prompt := max(e.prompt, inner.numbers[2]); prompt > 0 {
		e.found.Input = prompt
	}
}

func (e *engineReader) tokens() Tokens { return e.found }

// httpBodyReader hands the JSON in google.api.HttpBody messages to its reader.
type httpBodyReader struct {
	inner *jsonReader
}

const httpBodyData = 2

func (httpBodyReader) begin()                     {}
func (httpBodyReader) spoil()                     {}
func (httpBodyReader) varint(int, uint64, uint64) {}
func (httpBodyReader) end(bool)                   {}

func (httpBodyReader) enter(level int, field uint64) handling {
	if level == 0 && field == httpBodyData {
		return handOver
	}
	return skip
}

func (h httpBodyReader) data(_ uint64, piece []byte) { h.inner.write(piece) }

func (h httpBodyReader) tokens() Tokens { return h.inner.tokens() }

package body

// Fields of the requests of vLLM's gRPC engine (vllm_engine.proto) and of the messages in them.
const (
	engineTokenized  = 2
	engineText       = 3 // GenerateRequest alone, as are those that follow
	engineSampling   = 4
	engineStream     = 5
	engineMultimodal = 7

	tokenizedIDs           = 2
	samplingMaxTokens      = 8
	multimodalPlaceholders = 5
)

// engineRequest is what is read of a request.
type engineRequest struct {
	tokenized, text []byte // one of them; nil: not given
	cut             bool   // the body ended within it
}

// scanEngine reads a GenerateRequest or EmbedRequest. Neither names a model: the server has one.
func (r *Request) scanEngine(message []byte, kind string, lim Limits) error {
	var request engineRequest
	c := cursor{rest: message}
	for c.next() {
		switch {
		case c.number == engineTokenized && c.bytes != nil:
			request = engineRequest{tokenized: c.bytes, cut: c.cut}
		case r.API == GRPCEmbed:
		case c.number == engineText && c.bytes != nil:
			request = engineRequest{text: c.bytes, cut: c.cut}
		case c.number == engineSampling && c.bytes != nil:
			r.MaxTokens = samplingLimit(c.bytes)
		case c.number == engineStream && c.bytes == nil:
			r.Stream = c.value != 0
		case c.number == engineMultimodal && c.bytes != nil:
			r.countPlaceholders(c.bytes)
		}
	}
	if c.broken && !r.Truncated {
		return malformed(kind)
	}
	var h hasher
	h.begin(r, lim)
	switch {
	case request.text != nil:
		h.raw(request.text)
	case request.tokenized != nil:
		if !r.hashIDs(&h, request.tokenized) {
			return malformed(kind)
		}
	case r.Truncated:
	case r.API == GRPCEmbed:
		return &FieldError{Field: "tokenized", Message: "missing tokenized input in EmbedRequest"}
	default:
		return &FieldError{Field: "input", Message: "not supported request inputType"}
	}
	if request.cut {
		h.stop()
	}
	h.end()
	h.finish(r)
	return nil
}

// hashIDs hashes the token ids of a TokenizedInput. Ids that are not packed are counted alone: nobody sends them so.
func (r *Request) hashIDs(h *hasher, tokenized []byte) bool {
	c := cursor{rest: tokenized}
	for c.next() {
		switch {
		case c.number != tokenizedIDs:
		case c.bytes == nil:
			h.bytes += tokenBytes
		default:
			h.packed(c.bytes)
			if c.cut {
				h.stop()
			}
		}
	}
	return !c.broken || r.Truncated
}

func samplingLimit(message []byte) (limit int64) {
	c := cursor{rest: message}
	for c.next() {
		if c.number == samplingMaxTokens && c.bytes == nil {
			limit = int64(uint32(c.value))
		}
	}
	return limit
}

// countPlaceholders counts images; the token ids hold their placeholders already.
func (r *Request) countPlaceholders(message []byte) {
	c := cursor{rest: message}
	for c.next() {
		if c.number == multimodalPlaceholders && c.bytes != nil {
			r.count(image)
		}
	}
}

package body

import (
	"encoding/hex"

	"github.com/zeebo/xxh3"
)

const (
	maxModelBytes = 1024 // of a model name as it stands in the body
	maxSaltBytes  = 1024 // of a cache salt as it stands in the body; a longer one is replaced by its hash
)

// Scan reads one body: it checks the JSON from end to end in one pass, notes where the known fields are, and then hashes
// the prompt where it lies. Nothing is decoded or copied but the model's name and the cache salt.
//
// With complete false the body may be cut anywhere (a proxy sent its first part only): that is no error, what is missing
// is not asked for, and dst.Truncated is set. A body of the API Unknown is not looked at.
//
// JSON is judged as encoding/json does, except that the body must be an object and may nest 512 levels deep. A name
// given twice counts the last time, escapes in names are resolved, and names are case-sensitive.
//
// The prompt is hashed as raw bytes: tools first, then system or instructions, then messages, prompt, input or tokens,
// wherever they stand in the body. A conversation that grows so keeps all its blocks but the last, as long as its client
// writes JSON the same way each time. Only tools that come after the cut of a truncated body are missed.
//
// Errors are *SyntaxError and *FieldError; their texts are for the client. dst is then not to be used.
func Scan(api API, body []byte, complete bool, lim Limits, dst *Request) error {
	dst.Reset()
	if api == Unknown {
		return nil
	}
	var vals values
	s := scanner{b: body}
	if !s.readBody(&vals) {
		if s.reason != endOfBody || complete {
			return &SyntaxError{Offset: s.i, Reason: s.reason}
		}
		dst.Truncated = true
	}
	if api == Detect {
		api = detect(&vals)
	}
	dst.API = api
	return dst.fill(body, &vals, lim)
}

// readBody walks over the whole body.
func (s *scanner) readBody(vals *values) bool {
	if s.peek() != '{' {
		return s.unexpected(notObject)
	}
	if !s.readFields(1, fieldOf, vals) {
		return false
	}
	if s.peek(); s.i < len(s.b) {
		return s.fail(afterTop)
	}
	return true
}

// fill takes from the values what the API of the request has.
func (r *Request) fill(body []byte, vals *values, lim Limits) error {
	shape := &shapes[r.API]
	if err := r.checkPrompt(body, shape, vals); err != nil {
		return err
	}
	if err := r.readModel(body, vals[fieldModel], shape.modelOptional); err != nil {
		return err
	}
	v := vals[fieldStream]
	r.Stream = v.kind == 't' && !v.cut
	r.CacheSalt = readSalt(body, vals[shape.salt])
	for _, f := range shape.maxTokens {
		if v := vals[f]; v.given() {
			if !v.cut {
				r.MaxTokens = tokenLimit(v.in(body))
			}
			break
		}
	}
	r.hashPrompt(body, shape, vals, lim)
	return nil
}

func (r *Request) readModel(body []byte, v value, optional bool) error {
	switch {
	case v.kind == '"' && !v.cut:
		if v.end-v.start-2 > maxModelBytes {
			return &FieldError{Field: "model", Message: "model name is longer than 1024 bytes"}
		}
		r.lastModel = text(v.in(body), r.lastModel)
		r.Model = r.lastModel
	case v.given() && !v.cut, !r.Truncated && !optional:
		return &FieldError{Field: "model", Message: "model not found in request body"}
	}
	return nil
}

func readSalt(body []byte, v value) string {
	if v.kind != '"' || v.cut {
		return ""
	}
	raw := v.in(body)
	if len(raw)-2 <= maxSaltBytes {
		return text(raw, "")
	}
	sum := xxh3.Hash128(raw).Bytes()
	return hex.EncodeToString(sum[:])
}

// hashPrompt hashes the parts of the prompt in their own order.
func (r *Request) hashPrompt(body []byte, shape *shape, vals *values, lim Limits) {
	h := hasher{blocks: r.Blocks, size: lim.BlockBytes, left: lim.MaxPromptBytes}
	for _, f := range shape.prompt {
		v := vals[f]
		if !v.given() {
			continue
		}
		r.PromptBytes += v.end - v.start
		if h.size > 0 && h.left > 0 {
			h.add(f, v.in(body), !v.cut)
		}
	}
	r.Blocks = h.blocks
}

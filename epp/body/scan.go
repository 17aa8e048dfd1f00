package body

import (
	"bytes"
	"encoding/hex"

	"github.com/zeebo/xxh3"
)

const (
	maxModelBytes = 1024 // of a model name as it stands in the body
	maxSaltBytes  = 1024 // of a cache salt as it stands in the body; a longer one is replaced by its hash
)

// Scan reads one body: it checks the JSON from end to end in one pass, notes where the known fields are, and then hashes
// the prompt where it lies. Nothing is decoded or copied but the model's name, the cache salt, and blocks in which there are
// escapes.
//
// With complete false the body may be cut anywhere (a proxy sent its first part only): that is no error, what is missing
// is not asked for, and dst.Truncated is set. A body of the API Unknown is not looked at.
//
// JSON is judged as encoding/json does, except that the body must be an object of valid UTF-8, may nest 512 levels deep, and
// has no numbers of more than 1024 bytes. A name given twice counts the last time, escapes in names are resolved, and names are case-sensitive.
//
// A prompt is text: of a chat the tools as JSON, the system's text, then role and content of each message, one after the other
// and wherever they stand in the body. Its bytes, four to a token and the last token filled up with zeros, are cut into blocks,
// each of which is hashed with XXH64 by itself. How a client writes its JSON makes no difference then, except for what is
// hashed as it stands: tools, a tool's input, and all of Responses, Conversations and Embeddings. A conversation that grows keeps
// all its blocks but the last. Each of a list of prompts is hashed by itself.
//
// Token ids are hashed as they are. A part of a message that is no text (an image, say) is hashed as the tokens it becomes, all
// of them made of a hash of it, and begins with a token of its own.
//
// Of a truncated body only what is certain is hashed, but for tools, a system's text or instructions that would come after the cut.
//
// A body of a gRPC API is one message, whose token ids, text or JSON are read in the same way.
//
// Errors are *SyntaxError and *FieldError, of JSON within a message wrapped; their texts are for the client. dst is then not
// to be used.
func Scan(api API, body []byte, complete bool, lim Limits, dst *Request) error {
	dst.Reset()
	switch {
	case api == Unknown:
		return nil
	case api.framed():
		dst.API = api
		return dst.scanFrame(body, complete, lim)
	}
	return dst.scanJSON(api, body, complete, lim)
}

func (r *Request) scanJSON(api API, body []byte, complete bool, lim Limits) error {
	var vals values
	s := scanner{b: body, noted: &r.noted}
	if !s.readBody(&vals) {
		if s.reason != endOfBody || complete {
			return &SyntaxError{Offset: s.i, Reason: s.reason}
		}
		r.Truncated = true
	}
	if api == Detect {
		api = detect(&vals)
	}
	r.API = api
	return r.fill(body, &vals, lim)
}

var gzipMagic = []byte{0x1f, 0x8b}

// readBody walks over the whole body.
func (s *scanner) readBody(vals *values) bool {
	if s.peek() != '{' {
		if bytes.HasPrefix(s.b, gzipMagic) {
			return s.fail(compressed)
		}
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
	if err := r.readModel(body, &vals[fieldModel], shape); err != nil {
		return err
	}
	v := &vals[fieldStream]
	r.Stream = v.kind == 't' && !v.cut
	if v := &vals[shape.salt]; shape.saltError != "" && v.given() && v.kind != '"' {
		return &FieldError{Field: "extra_key", Message: shape.saltError}
	}
	r.CacheSalt = readSalt(body, &vals[shape.salt])
	for _, f := range shape.maxTokens {
		if v := &vals[f]; v.given() {
			if !v.cut {
				r.MaxTokens = tokenLimit(v.in(body))
			}
			break
		}
	}
	r.hashPrompt(body, shape, vals, lim)
	return nil
}

func (r *Request) readModel(body []byte, v *value, shape *shape) error {
	switch {
	case v.kind == '"' && !v.cut:
		if v.end-v.start-2 > maxModelBytes {
			return &FieldError{Field: "model", Message: "model name is longer than 1024 bytes"}
		}
		r.lastModel = text(v.in(body), r.lastModel)
		r.Model = r.lastModel
		if !shape.modelFixed {
			r.ModelStart, r.ModelEnd = int(v.start), int(v.end)
		}
	case v.given() && !v.cut, !r.Truncated && !shape.modelOptional:
		return &FieldError{Field: "model", Message: "model not found in request body"}
	}
	return nil
}

func readSalt(body []byte, v *value) string {
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

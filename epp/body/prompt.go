package body

import "bytes"

// hashPrompt hashes the parts of the prompt in their own order.
func (r *Request) hashPrompt(body []byte, shape *shape, vals *values, lim Limits) {
	var h hasher
	h.begin(r, lim)
	opening := "["
	for _, f := range shape.prompt {
		v := &vals[f]
		if !v.given() || f == fieldTools && isEmpty(v.in(body)) {
			continue
		}
		if f == fieldTools && v.cut && len(bytes.TrimSpace(v.in(body))) == 1 {
			h.stop() // it may be an empty list
		}
		if shape.labelled {
			h.literal(opening)
			h.literal(labels[f])
			opening = ","
		}
		switch {
		case takesTokens[f] && isTokenList(v.in(body)):
			h.tokenList(v.in(body))
		case isText[f]:
			r.hashParts(&h, body, f, v)
		default:
			r.hashJSON(&h, body, v)
		}
		if v.cut {
			h.stop()
		}
		if shape.labelled {
			h.literal("}")
		}
	}
	if shape.labelled {
		h.literal("]")
	}
	if r.Truncated && !givesOne(shape.required, vals) {
		h.stop()
	}
	h.end()
	h.finish(r)
}

func givesOne(fields []field, vals *values) bool {
	for _, f := range fields {
		if vals[f].given() {
			return true
		}
	}
	return false
}

// isText has the fields of which texts are hashed, takesTokens those that may be lists of token ids instead.
var (
	isText      = [fieldCount]bool{fieldMessages: true, fieldSystem: true, fieldPrompt: true, fieldText: true}
	takesTokens = [fieldCount]bool{fieldPrompt: true, fieldInput: true, fieldTokenIDs: true, fieldInputIDs: true}
)

// labels are what stands before each of several fields that are hashed as one list of objects.
var labels = [fieldCount]string{fieldInstructions: `{"instructions":`, fieldTools: `{"tools":`, fieldInput: `{"input":`}

// hashParts hashes the texts of a field.
func (r *Request) hashParts(h *hasher, body []byte, f field, v *value) {
	end := v.start
	parts := r.noted.parts[v.from:v.to]
	for i := range parts {
		p := &parts[i]
		raw := body[p.start:p.end]
		end = p.end
		switch p.kind {
		case image, video, audio:
			r.hashMedium(h, body, p)
			continue
		case uncertain:
			h.stop()
			continue
		case dropped:
			continue
		}
		if f == fieldSystem && r.isBilling(h, p, raw) {
			continue
		}
		if p.line {
			h.literal("\n")
		}
		if p.escaped {
			h.text(raw, p, r.noted.marks)
		} else {
			h.raw(raw)
		}
		if p.cut {
			h.stop()
		}
		if p.ends {
			h.end()
		}
	}
	if v.overflow {
		h.stop()
		h.bytes += int(v.end - end)
	}
}

// billing begins a system text of some clients that differs with each request and that model servers leave out.
const billing = "x-anthropic-billing-header"

func (r *Request) isBilling(h *hasher, p *part, raw []byte) bool {
	if p.cut && len(raw) < len(billing) && startsWith([]byte(billing), string(raw)) {
		h.stop()
	}
	return startsWith(raw, billing)
}

// hashJSON hashes a value as it stands, but for parts that are no text.
func (r *Request) hashJSON(h *hasher, body []byte, v *value) {
	from := v.start
	for _, p := range r.noted.parts[v.from:v.to] {
		h.raw(body[from:p.start])
		r.hashMedium(h, body, &p)
		from = p.end
	}
	h.raw(body[from:v.end])
}

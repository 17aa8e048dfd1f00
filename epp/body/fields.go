package body

// field is a field of a body that means something to some API.
type field uint8

const (
	noField field = iota
	fieldModel
	fieldStream
	fieldMaxTokens
	fieldMaxCompletionTokens
	fieldMaxOutputTokens
	fieldSamplingParams
	fieldSamplingMaxTokens    // within sampling_params
	fieldSamplingMaxNewTokens // within sampling_params
	fieldCacheSalt
	fieldExtraKey
	fieldMessages
	fieldPrompt
	fieldInput
	fieldItems
	fieldTokenIDs
	fieldInputIDs
	fieldText
	fieldTools
	fieldSystem
	fieldInstructions
	fieldCount = iota
)

// fieldOf tells which field of the body's own object a name is.
func fieldOf(name []byte) field {
	switch string(name) {
	case "model":
		return fieldModel
	case "stream":
		return fieldStream
	case "max_tokens":
		return fieldMaxTokens
	case "max_completion_tokens":
		return fieldMaxCompletionTokens
	case "max_output_tokens":
		return fieldMaxOutputTokens
	case "sampling_params":
		return fieldSamplingParams
	case "cache_salt":
		return fieldCacheSalt
	case "extra_key":
		return fieldExtraKey
	case "messages":
		return fieldMessages
	case "prompt":
		return fieldPrompt
	case "input":
		return fieldInput
	case "items":
		return fieldItems
	case "token_ids":
		return fieldTokenIDs
	case "input_ids":
		return fieldInputIDs
	case "text":
		return fieldText
	case "tools":
		return fieldTools
	case "system":
		return fieldSystem
	case "instructions":
		return fieldInstructions
	}
	return noField
}

// samplingFieldOf tells which field of sampling_params a name is.
func samplingFieldOf(name []byte) field {
	switch string(name) {
	case "max_tokens":
		return fieldSamplingMaxTokens
	case "max_new_tokens":
		return fieldSamplingMaxNewTokens
	}
	return noField
}

// value is where a field's value stands in the body.
type value struct {
	start, end uint32
	from, to   uint32 // the parts noted of it
	kind       byte   // its first byte; 0: there is none
	cut        bool   // the body ended within it
	overflow   bool   // it has more parts
}

// given tells whether there is a value, and it is not null.
func (v *value) given() bool { return v.kind != 0 && v.kind != 'n' }

func (v *value) in(body []byte) []byte { return body[v.start:v.end] }

type values [fieldCount]value

// maxRawName is more than any known name needs, every letter of it written as \uXXXX.
const maxRawName = 192

// readFields walks over the members of the object the scanner stands on and notes where the known ones are. A name
// that comes twice counts the last time, as it does for the model servers' own decoders.
func (s *scanner) readFields(depth int, nameToField func([]byte) field, vals *values) bool {
	s.i++ // the opening bracket
	if s.peek() == '}' {
		s.i++
		return true
	}
	for {
		raw, ok := s.skipKey()
		if !ok {
			return false
		}
		f := nameToField(s.plainName(raw))
		if !s.readField(f, depth, vals) {
			return false
		}
		switch s.peek() {
		case ',':
			s.i++
		case '}':
			s.i++
			return true
		default:
			return s.unexpected(wantComma)
		}
	}
}

// plainName resolves escapes in a name; a name too long to be a known one stays as it is.
func (s *scanner) plainName(raw []byte) []byte {
	if !s.escaped || len(raw) > maxRawName {
		return raw
	}
	return unescape(make([]byte, 0, maxRawName), raw)
}

// readField walks over the value of field f and notes where it is.
func (s *scanner) readField(f field, depth int, vals *values) bool {
	if f == noField {
		return s.skipValue(depth)
	}
	kind, start, from := s.peek(), s.i, len(s.noted.parts)
	ok := s.readKnown(f, kind, depth, vals)
	if !ok && s.reason != endOfBody {
		return false
	}
	v := &vals[f]
	v.start, v.end, v.from, v.to = uint32(start), uint32(s.i), uint32(from), uint32(len(s.noted.parts))
	v.kind, v.cut, v.overflow = kind, !ok, s.overflow
	return ok
}

// readKnown walks over the value of a known field, in the way that notes what is wanted of it.
func (s *scanner) readKnown(f field, kind byte, depth int, vals *values) bool {
	switch f {
	case fieldMessages:
		return s.readMessages(depth)
	case fieldSystem:
		return s.readContent(depth, false)
	case fieldPrompt, fieldText:
		return s.readPrompts(depth)
	case fieldSamplingParams:
		vals[fieldSamplingMaxTokens], vals[fieldSamplingMaxNewTokens] = value{}, value{}
		if kind == '{' {
			return s.readFields(depth+1, samplingFieldOf, vals)
		}
	}
	if kind != '[' || !hasMedia[f] {
		return s.skipValue(depth)
	}
	s.watch.on = true
	ok := s.skipValue(depth)
	if s.watch.want != nothing && !ok {
		s.noted.parts[s.watch.last].cut = true // before its payload
	}
	s.watch.on, s.watch.want = false, nothing
	return ok
}

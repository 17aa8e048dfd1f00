package usage

// layout is where an API's answers have their usage.
type layout uint8

const (
	openai    layout = iota // "usage", or "usage" of "response"
	anthropic               // "usage", or "usage" of "message"
	sglang                  // "meta_info"; an answer to a list of prompts is a list
)

// place is where in the text the next byte stands.
type place uint8

const (
	lineStart   place = iota // of a line of events, or of the text
	lineField                // within "data:" at the start of a line
	lineRest                 // of a line that means nothing
	beforeTop                // before an outermost value
	beforeKey                // in an object, before a key or the closing bracket
	inKey                    //
	beforeColon              //
	beforeValue              //
	inString                 //
	inScalar                 // a number or a literal
	afterValue               //
)

const dataField = "data:"

// jsonReader walks over JSON, plain or in server-sent events, byte by byte, and notes the numbers of usage objects. It is
// lenient: what is no JSON is walked over up to the end of its line.
type jsonReader struct {
	layout  layout
	place   place
	escaped bool // the next byte of a string or key is escaped
	event   bool // the text is in a data field of an event: a line break ends it
	listed  bool // the outermost value is a list: usage adds up
	resume  place
	matched int // bytes of dataField
	depth   int
	roles   [maxRoles + 1]role // by depth
	text    shortText          // a key that is read, then a number that is read
	key     key
	current counts // of the usage object that is open
	total   counts
}

func newJSONReader(l layout) *jsonReader {
	return &jsonReader{layout: l, total: noCounts}
}

func (r *jsonReader) tokens() Tokens { return r.total.tokens(r.layout) }

func (r *jsonReader) role() role {
	if r.depth > maxRoles {
		return noRole
	}
	return r.roles[r.depth]
}

func (r *jsonReader) write(piece []byte) {
	for i := 0; i < len(piece); i++ {
		if stops := r.stops(); stops != nil {
			for i < len(piece) && !stops[piece[i]] {
				i++
			}
			if i == len(piece) {
				return
			}
		}
		r.step(piece[i])
	}
}

// stops has the bytes that matter where the reader stands; nil: all do.
func (r *jsonReader) stops() *[256]bool {
	switch {
	case r.place == inString && !r.escaped:
		return &stringStops
	case r.place >= beforeValue && r.place != inString && r.role() == noRole:
		return &valueStops
	case r.place == lineRest:
		return &lineStops
	}
	return nil
}

var (
	stringStops = [256]bool{'"': true, '\\': true, '\n': true}
	valueStops  = [256]bool{'"': true, '{': true, '}': true, '[': true, ']': true, '\n': true}
	lineStops   = [256]bool{'\n': true}
)

// step takes one byte.
func (r *jsonReader) step(c byte) {
	if c == '\n' {
		r.breakLine()
		return
	}
	switch r.place {
	case lineStart, lineField:
		r.stepLine(c)
	case beforeTop:
		r.stepTop(c)
	case inKey:
		r.stepKey(c)
	case inString:
		switch {
		case r.escaped:
			r.escaped = false
		case c == '\\':
			r.escaped = true
		case c == '"':
			r.place = afterValue
		}
	case beforeColon:
		if c == ':' {
			r.place = beforeValue
		}
	case inScalar:
		if c == ',' || c == '}' || c == ']' || isSpace(c) {
			r.endScalar()
			r.place = afterValue
			r.stepInside(c)
		} else {
			r.text.add(c)
		}
	case beforeKey, beforeValue, afterValue:
		r.stepInside(c)
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

// stepLine takes a byte of the beginning of a line: of a field of an event, or of plain JSON.
func (r *jsonReader) stepLine(c byte) {
	switch {
	case c == dataField[r.matched]:
		r.matched++
		r.place = lineField
		if r.matched == len(dataField) {
			r.place = beforeTop
			if r.event && r.depth > 0 {
				r.place = r.resume // the event's data goes on
			}
			r.event = true
		}
	case r.matched > 0:
		r.place = lineRest
	case c == '{', c == '[':
		r.event, r.depth = false, 0
		r.open(c)
	case !isSpace(c):
		r.place = lineRest
	}
}

func (r *jsonReader) stepTop(c byte) {
	switch {
	case c == '{', c == '[':
		r.open(c)
	case !isSpace(c):
		r.place = lineRest
	}
}

// breakLine ends a line. In plain JSON it is white space, in an event's data it ends the data unless more of it follows; a
// string that a line break stands in was none.
func (r *jsonReader) breakLine() {
	blank := r.place == lineStart
	if r.place == inScalar {
		r.endScalar()
		r.place = afterValue
	}
	inside := r.place >= beforeKey && r.place != inKey && r.place != inString
	switch {
	case inside && !r.event:
		return
	case inside:
		r.resume = r.place
	case r.place == inKey, r.place == inString, blank, !r.event:
		r.depth = 0
	}
	r.place, r.matched, r.escaped = lineStart, 0, false
}

// stepInside takes a byte between the keys and values of an object or array.
func (r *jsonReader) stepInside(c byte) {
	switch {
	case isSpace(c):
	case c == '{', c == '[':
		r.open(c)
	case c == '}', c == ']':
		r.close()
	case c == ':': // of an object without a role
		r.place = beforeValue
	case c == ',':
		r.place = beforeValue
		if r.role() > roleList {
			r.place = beforeKey
		}
	case c == '"' && r.place == beforeKey:
		r.text.reset()
		r.place = inKey
	case c == '"':
		r.place = inString
	default:
		r.text.reset()
		r.text.add(c)
		r.place = inScalar
	}
}

func (r *jsonReader) stepKey(c byte) {
	switch {
	case r.escaped:
		r.escaped = false
	case c == '\\':
		r.escaped = true // no server escapes these names: with it in the text it is none of them
	case c == '"':
		r.key = keyOf(r.text.bytes())
		r.place = beforeColon
		return
	}
	r.text.add(c)
}

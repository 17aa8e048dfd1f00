package usage

// role is what an open bracket means. Brackets without one are walked over.
type role uint8

const (
	noRole    role = iota
	roleList       // the array that holds the answers
	roleTop        // the object of an answer or event
	roleOuter      // the object of an event in which the answer is
	roleUsage
	roleDetails
)

// maxRoles is how deep a bracket with a role may be, the outermost being 1.
const maxRoles = 5

// open enters an object or array.
func (r *jsonReader) open(c byte) {
	child := r.childRole(c)
	if r.depth == 0 {
		r.listed = c == '['
	}
	r.depth++
	if r.depth <= maxRoles {
		r.roles[r.depth] = child
	}
	r.place = beforeValue
	if child > roleList {
		r.place = beforeKey
	}
	if child == roleUsage {
		r.current = noCounts
	}
}

// childRole is the role of a bracket that opens now.
func (r *jsonReader) childRole(c byte) role {
	switch {
	case r.depth == 0 && c == '[' && r.layout == sglang:
		return roleList
	case c != '{':
		return noRole
	case r.depth == 0:
		return roleTop
	}
	switch r.role() {
	case roleList:
		return roleTop
	case roleTop:
		switch {
		case r.key == keyUsage && r.layout != sglang, r.key == keyMetaInfo && r.layout == sglang:
			return roleUsage
		case r.key == keyResponse && r.layout == openai, r.key == keyMessage && r.layout == anthropic:
			return roleOuter
		}
	case roleOuter:
		if r.key == keyUsage {
			return roleUsage
		}
	case roleUsage:
		if r.key == keyDetails && r.layout == openai {
			return roleDetails
		}
	}
	return noRole
}

// close leaves an object or array. Only a usage object that is whole counts.
func (r *jsonReader) close() {
	if r.role() == roleUsage {
		r.total.take(r.current, r.listed)
	}
	r.depth--
	r.place = afterValue
	if r.depth <= 0 {
		r.depth = 0
		r.place = beforeTop
	}
}

// endScalar notes a number, if it stands where one matters.
func (r *jsonReader) endScalar() {
	switch r.role() {
	case roleUsage:
		r.current.set(r.key, r.text.number())
	case roleDetails:
		if r.key == keyCached {
			r.current[cached] = r.text.number()
		}
	}
}

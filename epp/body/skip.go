package body

// nest remembers which of the open brackets are objects, one bit each.
type nest struct {
	objects [maxDepth / 64]uint64
	depth   int
}

func (n *nest) push(object bool) bool {
	if n.depth >= maxDepth {
		return false
	}
	word, bit := &n.objects[n.depth/64], uint64(1)<<(n.depth%64)
	if object {
		*word |= bit
	} else {
		*word &^= bit
	}
	n.depth++
	return true
}

func (n *nest) inObject() bool {
	d := n.depth - 1
	return n.objects[d/64]>>(d%64)&1 != 0
}

// skipValue walks over one value of any kind, itself at the depth given (1: a field of the body's own object). It keeps
// its own stack: a body must not choose how deep ours gets.
func (s *scanner) skipValue(depth int) bool {
	c := s.peek()
	if c != '{' && c != '[' {
		return s.skipScalar(c)
	}
	n := nest{depth: depth}
	for {
		// Stands on a value that begins with c.
		closed := true
		switch c {
		case '{', '[':
			if !n.push(c == '{') {
				return s.fail(tooDeep)
			}
			s.i++
			s.watch.open(n.depth)
			closed = s.peek() == c+2 // in ASCII a closing bracket is two after its opening one
			if closed {
				s.i++
				n.depth--
			}
		case '"':
			start := s.i
			s.i++
			ok := s.skipString()
			s.payload(start, ok)
			if !ok {
				return false
			}
		default:
			if !s.skipScalar(c) {
				return false
			}
		}
		if closed && !s.closeBrackets(&n, depth) {
			return false
		}
		if n.depth == depth {
			return true
		}
		if n.inObject() {
			name, ok := s.skipKey()
			if !ok {
				return false
			}
			s.noteMedia(name, n.depth)
		} else {
			s.skipIntegers()
		}
		c = s.peek()
	}
}

// closeBrackets walks, after a value, over closing brackets up to the comma that says another value follows, or to
// the end of the outermost bracket.
func (s *scanner) closeBrackets(n *nest, depth int) bool {
	for n.depth > depth {
		c := s.peek()
		if c == ',' {
			s.i++
			return true
		}
		want := byte(']')
		if n.inObject() {
			want = '}'
		}
		if c != want {
			return s.unexpected(wantComma)
		}
		s.i++
		n.depth--
	}
	return true
}

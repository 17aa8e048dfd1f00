package prefix

import "math/bits"

// Server is the ordinal of a model server within one Index: small, given out by the pool, used again after Remove.
type Server uint32

// MaxServers bounds ordinals; a server with a larger one is never held to have anything.
const MaxServers = 65_534

// set is the servers that hold a block: up to four ordinals in place, or the number of a bitmap of the shard. Ordinals
// are kept plus one, zero is none, and wide in the first place says that the rest is a bitmap's number.
type set [4]uint16

const wide = 0xffff

func (s *set) bitmap() uint32 { return uint32(s[1]) | uint32(s[2])<<16 }

// bitmaps are the sets with more than four servers.
type bitmaps struct {
	words [][]uint64
	free  []uint32
}

func (m *bitmaps) alloc() uint32 {
	if n := len(m.free); n > 0 {
		id := m.free[n-1]
		m.free = m.free[:n-1]
		return id
	}
	m.words = append(m.words, nil)
	return uint32(len(m.words) - 1)
}

func (m *bitmaps) put(id uint32, server Server) {
	w := m.words[id]
	for len(w) <= int(server/64) {
		w = append(w, 0)
	}
	w[server/64] |= 1 << (server % 64)
	m.words[id] = w
}

// has tells whether the server is in the set.
func (m *bitmaps) has(s *set, server Server) bool {
	if s[0] == wide {
		w := m.words[s.bitmap()]
		return int(server/64) < len(w) && w[server/64]>>(server%64)&1 != 0
	}
	id := uint16(server) + 1
	return s[0] == id || s[1] == id || s[2] == id || s[3] == id
}

// add puts a server into the set.
func (m *bitmaps) add(s *set, server Server) {
	if m.has(s, server) {
		return
	}
	if s[0] == wide {
		m.put(s.bitmap(), server)
		return
	}
	for i := range s {
		if s[i] == 0 {
			s[i] = uint16(server) + 1
			return
		}
	}
	id := m.alloc()
	for _, v := range s {
		m.put(id, Server(v-1))
	}
	m.put(id, server)
	*s = set{wide, uint16(id), uint16(id >> 16)}
}

// remove takes a server out of the set. A bitmap that holds only half of what fits in place becomes a small set again.
func (m *bitmaps) remove(s *set, server Server) {
	if s[0] != wide {
		id := uint16(server) + 1
		for i := range s {
			if s[i] == id {
				s[i] = 0
			}
		}
		return
	}
	id := s.bitmap()
	w := m.words[id]
	if int(server/64) < len(w) {
		w[server/64] &^= 1 << (server % 64)
	}
	n := 0
	for _, word := range w {
		if n += bits.OnesCount64(word); n > len(s)/2 {
			return
		}
	}
	small, i := set{}, 0
	m.each(s, func(server Server) { small[i] = uint16(server) + 1; i++ })
	*s = small
	clear(w)
	m.words[id] = w[:0]
	m.free = append(m.free, id)
}

// each calls f with every server of the set.
func (m *bitmaps) each(s *set, f func(Server)) {
	if s[0] != wide {
		for _, v := range s {
			if v != 0 {
				f(Server(v - 1))
			}
		}
		return
	}
	for i, word := range m.words[s.bitmap()] {
		for ; word != 0; word &= word - 1 {
			f(Server(i*64 + bits.TrailingZeros64(word)))
		}
	}
}

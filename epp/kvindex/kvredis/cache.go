package kvredis

// generation is how many names a generation of the cache has: about 50 MiB.
const generation = 1 << 20

// name is what an engine calls a block, or a part of it where its blocks are longer than ours.
type name struct {
	hash   uint64
	server uint32
	part   uint32
}

// cache leads from engines' names to keys, so that the database need not be asked for most. It has two generations: names that
// are not asked for go with the older one.
type cache struct{ young, old map[name]uint64 }

func (c *cache) put(n name, key uint64) {
	if c.young == nil || len(c.young) >= generation {
		c.young, c.old = map[name]uint64{}, c.young
	}
	c.young[n] = key
}

func (c *cache) get(n name) (key uint64, ok bool) {
	if key, ok = c.young[n]; ok {
		return key, true
	}
	if key, ok = c.old[n]; ok {
		c.put(n, key)
	}
	return key, ok
}

// all appends the keys of a block to dst, in order: so many, or with 0 as many as there are. False: they are not known.
func (c *cache) all(dst []uint64, server uint32, hash uint64, parts int) ([]uint64, bool) {
	for part := 0; parts == 0 || part < parts; part++ {
		key, ok := c.get(name{hash, server, uint32(part)})
		if !ok {
			return dst, parts == 0 && part > 0
		}
		dst = append(dst, key)
	}
	return dst, true
}

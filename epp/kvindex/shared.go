package kvindex

import (
	"time"

	"github.com/switchyard/switchyard/epp/kvevents"
)

// Shared is where several replicas keep blocks together. An index that has one keeps only assumptions itself.
type Shared interface {
	// Follow gives what a server's events go to. names are those that the server has there, the first being the one that is
	// written; ordinal is its place in matches. It does not wait.
	Follow(ordinal int, names []string) SharedServer
	// Read tells who holds each of the keys, with the tiers' bits that tier gives. It returns at until at the latest; nil: it
	// could not be told. The result belongs to the caller.
	Read(until time.Time, keys []uint64, tier func(medium string) uint8) [][]SharedHolder
	// Patience is how long all reads of one match may take.
	Patience() time.Duration
}

// SharedServer is a server there. Its methods do not wait, and what they do is seen a little later.
type SharedServer interface {
	kvevents.Sink
	// Remove forgets the server.
	Remove()
}

// SharedHolder says how a server holds a block. No tiers: it is only taken to hold it.
type SharedHolder struct {
	Ordinal int
	Tiers   uint8
}

// Reads of one match begin with so many keys, and go on with four times as many as before, up to the most.
const (
	firstRead = 64
	mostRead  = 4096
)

// matchShared is Match for blocks that are kept elsewhere. When they cannot be read, what is assumed here counts alone.
func (x *Index) matchShared(keys []uint64, at uint32, held []Held) (longest int) {
	until := time.Now().Add(x.shared.Patience())
	readable := true
	for size := firstRead; longest < len(keys); size = min(4*size, mostRead) {
		chunk := keys[longest:min(longest+size, len(keys))]
		var blocks [][]SharedHolder
		if readable {
			blocks = x.shared.Read(until, chunk, x.tierOf)
			readable = blocks != nil
		}
		for i, key := range chunk {
			moved := false
			if readable {
				moved = x.advance(blocks[i], int32(longest), held)
			}
			if !x.shard(key).advance(key, int32(longest), at, &x.weights, held) && !moved {
				return longest
			}
			longest++
		}
	}
	return longest
}

// advance moves the servers on that hold a block and all those before it, and tells whether there was one.
func (x *Index) advance(holders []SharedHolder, before int32, held []Held) (moved bool) {
	for _, h := range holders {
		if h.Ordinal >= len(held) {
			continue
		}
		if mine := &held[h.Ordinal]; mine.Blocks == before {
			mine.Blocks++
			mine.Weight += x.weights[h.Tiers]
			moved = true
		}
	}
	return moved
}

package kvredis_test

import (
	"fmt"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/switchyard/switchyard/epp/kvevents"
)

func copied(medium string, hashes ...uint64) kvevents.Event {
	return kvevents.Event{Kind: kvevents.Stored, Hashes: hashes, Medium: medium, Group: -1, Model: "m"}
}

func of(group int, e kvevents.Event) kvevents.Event {
	e.Group = group
	return e
}

// awaitWeight waits until a replica sees so much of a conversation at the first server.
func (r *replica) awaitWeight(t *testing.T, conversation uint32, blocks int32, weight float32) {
	t.Helper()
	eventually(t, func() (string, bool) {
		got := r.held(conversation, 8)[0]
		return fmt.Sprintf("held %+v, want %d blocks of weight %g; log: %s", got, blocks, weight, r.notes), got.Blocks == blocks && got.Weight == weight
	})
}

// TestCopiedBlocks has an engine copy blocks to the host and tell neither tokens nor size.
func TestCopiedBlocks(t *testing.T) {
	for name, test := range map[string]struct {
		before, events []kvevents.Event // of one replica, and of another
		blocks         int32
		weight         float32
	}{
		"on both":          {nil, one(stored(1, 0, 4), copied("CPU", 100, 101)), 4, 4},
		"left on the host": {nil, one(stored(1, 0, 4), copied("CPU", 100, 101), removed("GPU", 100, 101, 102, 103)), 2, 1},
		"gone from both":   {nil, one(stored(1, 0, 4), copied("CPU", 100, 101), removed("GPU", 100, 101), removed("CPU", 101)), 1, 0.5},
		"unknown":          {nil, one(stored(1, 0, 2), copied("CPU", 999, 100), removed("GPU", 100, 101)), 1, 0.5},
		"gone meanwhile":   {nil, one(stored(1, 0, 2), removed("GPU", 100, 101), copied("CPU", 100)), 1, 0.5},
		"others know":      {one(stored(1, 0, 2)), one(copied("CPU", 100, 101), removed("GPU", 100)), 2, 1.5},
		"longer blocks": {nil, one(kvevents.Event{Kind: kvevents.Stored, BlockSize: 2 * size, Hashes: []uint64{100, 101}, Tokens: ids(1, 4), Group: -1, Model: "m"},
			copied("CPU", 100), removed("GPU", 100, 101)), 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			db := miniredis.RunT(t)
			if test.before != nil {
				other := newReplica(t, db.Addr())
				other.a.Apply(test.before)
				other.a.Apply(one(stored(2, 0, 1)))
				other.await(t, 2, 1, 0)
				other.stop()
			}
			r := newReplica(t, db.Addr())
			r.a.Apply(test.events)
			r.awaitWeight(t, 1, test.blocks, test.weight)
			if db.Exists("engine:999") {
				t.Error("a block that nobody knew was taken in")
			}
			// Whoever hears that it is taken away knows what it was.
			newReplica(t, db.Addr()).a.Apply(one(removed("CPU", 100, 101), removed("GPU", 100, 101, 102, 103)))
			r.await(t, 1, 0, 0)
		})
	}
}

// TestBlocksOfAnotherSize has a group with longer blocks, which it names as the others name the second half of each.
func TestBlocksOfAnotherSize(t *testing.T) {
	db := miniredis.RunT(t)
	r := newReplica(t, db.Addr())
	long := kvevents.Event{Kind: kvevents.Stored, BlockSize: 2 * size, Hashes: []uint64{201, 203}, Tokens: ids(2, 4), Group: 1, Model: "m"}
	shared := long
	shared.Hashes, shared.Tokens = []uint64{101, 103}, ids(1, 4)
	r.a.Apply(one(of(0, stored(1, 0, 4)), long, shared, of(1, removed("", 101, 103)), of(0, stored(1, 4, 6)), stored(3, 0, 1)))
	r.await(t, 3, 1, 0)
	r.await(t, 1, 6, 0)
	r.await(t, 2, 0, 0)
	r.a.Apply(one(of(0, removed("", 105))))
	r.await(t, 1, 5, 0)
	// When all is forgotten, another size counts.
	r.a.Apply(one(kvevents.Event{Kind: kvevents.Cleared}, long, of(1, removed("", 203))))
	r.await(t, 1, 0, 0)
	r.await(t, 2, 2, 0)
}

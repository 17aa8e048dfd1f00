package scheduling_test

import (
	"slices"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/prefix"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// TestMatchOfSeveralPrompts checks that the blocks held of each prompt are summed up.
func TestMatchOfSeveralPrompts(t *testing.T) {
	pools := datalayer.New(datalayer.Options{})
	pools.Set("ns/pool", []datalayer.Spec{{Name: "a", Address: "10.0.0.1:80"}, {Name: "b", Address: "10.0.0.2:80"}, {Name: "c", Address: "10.0.0.3:80"}})
	pool, _ := pools.Get("ns/pool")
	candidates := pool.Endpoints()
	index, seed := prefix.New(prefix.Options{}), prefix.Seed("m", "")
	index.Add(candidates[0].Server, prefix.Chain(nil, seed, []uint64{1, 2, 3}))
	index.Add(candidates[0].Server, prefix.Chain(nil, seed, []uint64{4, 5}))
	index.Add(candidates[1].Server, prefix.Chain(nil, seed, []uint64{4, 5, 6}))
	for range 2 { // the second time with the memory of the first
		request := &body.Request{Model: "m", Prompts: []int{2, 6}}
		c := scheduling.NewCycle(request, candidates, time.Now())
		c.Keys = prefix.Chain(c.Keys, seed, []uint64{1, 2, 4, 5, 6, 7, 1}, request.Prompts...)
		c.Match(index)
		if want := []int{2 + 2 + 1, 3, 0}; !slices.Equal(c.PrefixBlocks, want) {
			t.Errorf("got %d, want %d", c.PrefixBlocks, want)
		}
		c.Release()
	}
}

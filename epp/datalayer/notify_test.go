package datalayer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// follower notes what it is told.
type follower struct {
	t  *testing.T
	mu sync.Mutex
	// seen is every event; now is what they come to.
	seen []string
	now  map[string]string
}

func (f *follower) take(e EndpointEvent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := e.Pool + " " + e.Endpoint.Namespace + "/" + e.Endpoint.Name + " " + e.Endpoint.Address
	if e.Gone {
		f.seen = append(f.seen, "- "+at)
		if _, known := f.now[at]; !known {
			f.t.Errorf("%s is gone and was not there", at)
		}
		delete(f.now, at)
		return
	}
	f.seen = append(f.seen, "+ "+at+" "+e.Endpoint.Labels["a"])
	f.now[at] = e.Endpoint.Labels["a"]
}

// follow tells a follower of the pools until the end of the test.
func follow(t *testing.T, pools *Pools) *follower {
	t.Helper()
	f := &follower{t: t, now: map[string]string{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); pools.Follow(ctx, f.take) }()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

// expect waits until the events since the last time are these, in any order but of one endpoint.
func (f *follower) expect(want ...string) {
	f.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		f.mu.Lock()
		got := slices.Clone(f.seen)
		if len(got) >= len(want) {
			f.seen = nil
		}
		f.mu.Unlock()
		if len(got) >= len(want) {
			if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				f.t.Errorf("told %q, want %q", got, want)
			}
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("told only %q, want %q", got, want)
		}
		<-time.After(time.Millisecond)
	}
}

func labelled(name, address, label string) Spec {
	return Spec{Name: name, Namespace: "ns", Pod: name, Address: address, Labels: map[string]string{"a": label}}
}

func TestFollowersAreToldOfEndpoints(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Run("follow", func(t *testing.T) {
		pools := New(Options{})
		pools.Set("ns/p", []Spec{labelled("a", "1:1", "x")})
		f := follow(t, pools)
		f.expect("+ ns/p ns/a 1:1 x")
		pools.Set("ns/p", []Spec{labelled("a", "1:1", "x"), labelled("b", "2:1", "x")})
		f.expect("+ ns/p ns/b 2:1 x")
		pools.Set("ns/p", []Spec{labelled("a", "1:1", "y"), labelled("b", "2:1", "x")})
		f.expect("+ ns/p ns/a 1:1 y")
		pools.Set("ns/q", []Spec{labelled("a", "1:1", "y")})
		f.expect("+ ns/q ns/a 1:1 y")
		pools.Set("ns/p", []Spec{labelled("a", "3:1", "y"), labelled("b", "2:1", "x")}) // a pod that came back elsewhere
		f.expect("- ns/p ns/a 1:1", "+ ns/p ns/a 3:1 y")
		pools.Set("ns/p", []Spec{labelled("a", "3:1", "y"), labelled("b", "2:1", "x")}) // nothing new
		pools.Delete("ns/p")
		f.expect("- ns/p ns/a 3:1", "- ns/p ns/b 2:1")
		late := follow(t, pools)
		late.expect("+ ns/q ns/a 1:1 y")
	})
}

// TestAnotherServerInOnesPlaceIsTold though nobody looked in between.
func TestAnotherServerInOnesPlaceIsTold(t *testing.T) {
	pools := New(Options{})
	f := &follower{t: t, now: map[string]string{}}
	known := map[followed]*Endpoint{}
	pools.Set("ns/p", []Spec{labelled("a", "1:1", "x")})
	pools.differ(known, f.take)
	pools.Set("ns/p", nil)
	pools.Set("ns/p", []Spec{labelled("a", "1:1", "x")})
	pools.differ(known, f.take)
	pools.differ(known, f.take)
	want := []string{"+ ns/p ns/a 1:1 x", "- ns/p ns/a 1:1", "+ ns/p ns/a 1:1 x"}
	if !slices.Equal(f.seen, want) {
		t.Errorf("told %q, want %q", f.seen, want)
	}
}

// TestFollowersMissNothing changes pools as fast as it goes.
func TestFollowersMissNothing(t *testing.T) {
	pools := New(Options{})
	f := follow(t, pools)
	var changing sync.WaitGroup
	for p := range 4 {
		changing.Go(func() {
			for i := range 200 {
				var specs []Spec
				for e := range (i*7 + p) % 5 {
					specs = append(specs, labelled(fmt.Sprint("e", e), fmt.Sprint(e, ":1"), fmt.Sprint(i)))
				}
				pools.Set(fmt.Sprint("ns/", p), specs)
			}
			pools.Set(fmt.Sprint("ns/", p), []Spec{labelled("last", "9:1", "end")})
		})
	}
	changing.Wait()
	want := map[string]string{}
	for p := range 4 {
		want[fmt.Sprint("ns/", p, " ns/last 9:1")] = "end"
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		f.mu.Lock()
		same := maps.Equal(f.now, want)
		f.mu.Unlock()
		if same {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("there are %v", f.now)
		}
		<-time.After(time.Millisecond)
	}
}

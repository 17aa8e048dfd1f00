package datalayer

import (
	"sync"
	"testing"
)

func TestFlightsOfAShare(t *testing.T) {
	pools := New(Options{})
	pools.Set("ns/pool", []Spec{spec("e", "10.0.0.1:1")})
	pool, _ := pools.Get("ns/pool")
	e := pool.Endpoints()[0]
	var a, b Share
	expect := func(when string, aRequests, aTokens, bRequests, bTokens int64) {
		t.Helper()
		if a.Requests() != aRequests || a.Tokens() != aTokens || b.Requests() != bRequests || b.Tokens() != bTokens {
			t.Errorf("%s: %d requests, %d tokens and %d, %d, want %d, %d and %d, %d", when, a.Requests(), a.Tokens(), b.Requests(), b.Tokens(),
				aRequests, aTokens, bRequests, bTokens)
		}
		if e.Requests() != aRequests+bRequests || e.Tokens() != aTokens+bTokens {
			t.Errorf("%s: %d requests, %d tokens at the endpoint", when, e.Requests(), e.Tokens())
		}
	}
	first, second := e.BeginIn(&a, 100, 150), e.BeginIn(&b, 10, 0)
	expect("begun", 1, 250, 1, 10)
	first.EndPrefill()
	first.EndPrefill()
	expect("prompt over", 1, 150, 1, 10)
	if prompt, output := first.Held(); prompt != 0 || output != 150 {
		t.Errorf("held %d, %d", prompt, output)
	}
	if prompt, output := second.Held(); prompt != 10 || output != 0 {
		t.Errorf("held %d, %d", prompt, output)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { first.EndPrefill(); first.End(); first.EndPrefill() })
	}
	all.Wait()
	expect("one over", 0, 0, 1, 10)
	if prompt, output := first.Held(); prompt != 0 || output != 0 {
		t.Errorf("held %d, %d after the end", prompt, output)
	}
	second.End()
	expect("all over", 0, 0, 0, 0)
}

func TestProcessOfAnEndpoint(t *testing.T) {
	pools := New(Options{})
	pools.Set("ns/pool", []Spec{spec("e", "10.0.0.1:1"), spec("f", "10.0.0.2:1")})
	pool, _ := pools.Get("ns/pool")
	e, f := pool.Endpoints()[0], pool.Endpoints()[1]
	relabelled := spec("e", "10.0.0.1:1")
	relabelled.Labels = map[string]string{"x": "y"}
	pools.Set("ns/pool", []Spec{relabelled})
	if again := pool.Endpoints()[0]; again == e || again.Process() != e.Process() || again.Process() == f.Process() {
		t.Error("other labels make it another process, or all are one")
	}
	pools.Set("ns/pool", nil)
	pools.Set("ns/pool", []Spec{relabelled})
	if pool.Endpoints()[0].Process() == e.Process() {
		t.Error("an endpoint that came back is the process from before")
	}
}

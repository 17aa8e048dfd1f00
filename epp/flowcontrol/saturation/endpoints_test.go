package saturation

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/flowcontrol"
)

// TestReader: what a model server says, and what is in flight there, reaches the detector.
func TestReader(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "vllm:num_requests_waiting 4\nvllm:num_requests_running 2\nvllm:kv_cache_usage_perc 0.1\n")
	}))
	defer server.Close()
	pools := datalayer.New(datalayer.Options{})
	address := strings.TrimPrefix(server.URL, "http://")
	pools.Set("ns/pool", []datalayer.Spec{{Name: "a", Namespace: "ns", Address: address, Labels: map[string]string{roleLabel: "prefill"}}})
	read := Reader(pools, build(t, UtilizationType, `{"metricsStalenessThreshold": "1h"}`))
	if got := read("ns/pool", flowcontrol.Load{}); got.Level != 1 || got.Stale != 1 || got.Endpoints != 1 {
		t.Errorf("before the first scrape: %+v", got)
	}
	if got := read("ns/gone", flowcontrol.Load{}); got.Level != 1 || got.Endpoints != 0 {
		t.Errorf("no such pool: %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- pools.Run(ctx) }()
	defer func() { cancel(); <-stopped }()
	deadline := time.Now().Add(10 * time.Second)
	for read("ns/pool", flowcontrol.Load{}).Stale == 1 {
		if time.Now().After(deadline) {
			t.Fatal("no metrics after 10 s")
		}
		time.Sleep(time.Millisecond)
	}
	if got := read("ns/pool", flowcontrol.Load{}); !near(got.Prefill.Level, 0.8) || got.Decode.Endpoints != 0 {
		t.Errorf("scraped: %+v, want a queue of 4 of 5 at the prefill stage", got)
	}
	pool, _ := pools.Get("ns/pool")
	if got := View(pool.Endpoints()[0], time.Now()); got.Every <= 0 || got.Every > 500*time.Millisecond {
		t.Errorf("a server with requests is asked every %s, by what the detector sees", got.Every)
	}
	for range 7 {
		defer pool.Endpoints()[0].Begin(10).End()
	}
	if got := read("ns/pool", flowcontrol.Load{}); !near(got.Level, 1) {
		t.Errorf("with 7 in flight of which 2 run: %+v, want a queue of 5", got)
	}
	busy := build(t, ConcurrencyType, `{"concurrencyMode": "tokens", "maxTokenConcurrency": 140}`)
	if got := Reader(pools, busy)("ns/pool", flowcontrol.Load{}); !near(got.Level, 0.5) {
		t.Errorf("70 tokens of 140: %+v", got)
	}
}

// TestOfAllocatesNothing: it runs for each request, under a lock.
func TestOfAllocatesNothing(t *testing.T) {
	pools := datalayer.New(datalayer.Options{})
	specs := make([]datalayer.Spec, 100)
	for i := range specs {
		specs[i] = datalayer.Spec{Name: fmt.Sprint(i), Namespace: "ns", Address: fmt.Sprintf("10.0.0.%d:80", i)}
	}
	pools.Set("ns/pool", specs)
	pool, _ := pools.Get("ns/pool")
	for _, typ := range []string{UtilizationType, ConcurrencyType} {
		detector := build(t, typ, "")
		if got := Of(detector, pool, flowcontrol.Load{}); got.Endpoints != 100 {
			t.Errorf("%s: %+v", typ, got)
		}
		if got := Of(detector, nil, flowcontrol.Load{}); got.Level != 1 || got.Endpoints != 0 {
			t.Errorf("%s, no pool: %+v", typ, got)
		}
		// The runtime may drop a list that nobody uses, and the race detector does so often: one reading of many has to find one.
		least := math.Inf(1)
		for range 50 {
			least = min(least, testing.AllocsPerRun(1, func() { Of(detector, pool, flowcontrol.Load{}) }))
		}
		if least > 0 {
			t.Errorf("%s: %g allocations for a reading at least", typ, least)
		}
	}
}

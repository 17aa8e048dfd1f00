package saturation

import (
	"context"
	"io"
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
	read := Reader(pools, build(t, UtilizationType, ""))
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

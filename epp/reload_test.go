package epp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/datalayer"
)

// TestReloadOfTheDataLayer has a running picker read other metrics and hold less in its index, while a request is under way.
func TestReloadOfTheDataLayer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "vllm:num_requests_waiting 1\nmine_waiting 2\nmine_heat 40\n")
	}))
	defer server.Close()
	load := func(text string) *config.Config {
		t.Helper()
		c, err := config.Load([]byte(strings.Replace(string(config.DefaultText()), "- type: core-metrics-extractor", text, 1)))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := load("- type: core-metrics-extractor")
	var scrape datalayer.Options
	scrape.IdleInterval = 50 * time.Millisecond
	first.Apply(&scrape)
	s := start(t, epp.Options{Config: first, Pools: datalayer.New(scrape)})
	s.setPool(server.Listener.Addr().String())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	pool, _ := s.pools.Get("ns/pool")
	endpoint := pool.Endpoints()[0]
	eventually := func(what string, holds func() bool) {
		t.Helper()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(patience); !holds(); <-tick.C {
			if time.Now().After(deadline) {
				t.Fatalf("not within %s: %s", patience, what)
			}
		}
	}
	eventually("numbers as of vllm", func() bool { return endpoint.Metrics().Waiting == 1 })
	open, _ := s.begin(strings.Replace(request, "hello", strings.Repeat("many words ", 1000), 1))
	held := pool.Index().Len()

	next := load("- type: core-metrics-extractor\n  parameters: {defaultEngine: mine, engineConfigs: [{name: mine, queuedRequestsSpec: mine_waiting, " +
		"customMetrics: [{attributeKey: heat, metricSpec: mine_heat}]}]}\n" +
		"- type: approx-prefix-cache-producer\n  parameters: {lruCapacityPerServer: 5}")
	if err := s.Reload(func() (*config.Config, error) { return next, nil }); err != nil {
		t.Fatal(err)
	}
	eventually("numbers as of the own engine", func() bool {
		heat, known := endpoint.Custom("heat")
		return endpoint.Metrics().Waiting == 2 && heat == 40 && known
	})
	if got := pool.Index().Len(); held < 10 || got != 5 {
		t.Errorf("%d blocks before, %d after; want 5", held, got)
	}
	if pool.Endpoints()[0] != endpoint || endpoint.Requests() != 1 {
		t.Errorf("%d requests in flight", endpoint.Requests())
	}
	finish(t, open)
	s.expectIdle()

	broken, err := config.Load([]byte(strings.Replace(string(config.DefaultText()), "- type: metrics-data-source",
		"- type: metrics-data-source\n  parameters: {scheme: https, caCertPath: /none/ca.pem}", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(func() (*config.Config, error) { return broken, nil }); err == nil || !strings.Contains(err.Error(), "/none/ca.pem") || s.Config() != next {
		t.Errorf("certificates that are not there: %v", err)
	}
}

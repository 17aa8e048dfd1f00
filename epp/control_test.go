package epp_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/config"
)

// slow is a plugin that takes its time to be ready and shows what it knows.
type slow struct{ ready atomic.Bool }

func (s *slow) Ready() error {
	if s.ready.Load() {
		return nil
	}
	return errors.New("not yet")
}

func (s *slow) DumpState() (json.RawMessage, error) { return json.RawMessage(`{"knows":7}`), nil }

const unknown = healthv1.HealthCheckResponse_SERVICE_UNKNOWN

// TestHealthMatrix goes through what readiness depends on, with and without leader election.
func TestHealthMatrix(t *testing.T) {
	for _, elects := range []bool{false, true} {
		var leads atomic.Bool
		plugin := &slow{}
		cfg := config.Default()
		cfg.Plugins = append(cfg.Plugins, config.Declared{Name: "slow", Type: "slow", Plugin: plugin})
		options := epp.Options{Config: cfg, DrainTimeout: time.Millisecond}
		if elects {
			options.Leading = leads.Load
		}
		s := start(t, options)
		expect := func(what string, ready, other bool) {
			t.Helper()
			status := map[bool]healthv1.HealthCheckResponse_ServingStatus{true: serving, false: notServing}
			others := status[other]
			if elects {
				others = unknown
			}
			t.Log(what, "leader election", elects)
			s.expectHealth(map[string]healthv1.HealthCheckResponse_ServingStatus{"": status[ready], "readiness": status[ready],
				extProc: status[ready], "liveness": serving, "inference-extension": others, "any": others})
		}
		expect("no pool", false, false)
		s.setPool("10.0.0.1:8000")
		expect("a plugin is not ready", false, true)
		plugin.ready.Store(true)
		expect("a follower, if there is a leader", !elects, true)
		leads.Store(true)
		expect("all is well", true, true)
		s.Unready()
		expect("draining", false, false)
	}
}

// TestLeadershipWakesWatches sees the change without waiting for the next look.
func TestLeadershipWakesWatches(t *testing.T) {
	var leads atomic.Bool
	s := start(t, epp.Options{Leading: leads.Load})
	s.setPool("10.0.0.1:8000")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watch, err := healthv1.NewHealthClient(s.conn).Watch(ctx, &healthv1.HealthCheckRequest{Service: extProc})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []healthv1.HealthCheckResponse_ServingStatus{notServing, serving, notServing} {
		if i > 0 {
			leads.Store(want == serving)
			s.LeadershipChanged()
		}
		if got, err := watch.Recv(); err != nil || got.GetStatus() != want {
			t.Fatalf("watch says %s (%v), want %s", got.GetStatus(), err, want)
		}
	}
}

// TestReloadKeepsWhatRequestsTaught changes the configuration while a request is under way.
func TestReloadKeepsWhatRequestsTaught(t *testing.T) {
	s := start(t, epp.Options{})
	s.setPool("10.0.0.1:8000", "10.0.0.2:8000")
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	long := strings.Replace(request, "hello", strings.Repeat("many words ", 100), 1)
	open, response := s.begin(long)
	picked := response.String()
	state := func() (entries int, requests int64) {
		var shown struct {
			Pools []struct {
				PrefixEntries int
				Endpoints     []struct{ InFlight int64 }
			}
			Streams int
		}
		if err := json.Unmarshal([]byte(get(t, web.URL+"/debug/epp")), &shown); err != nil {
			t.Fatal(err)
		}
		for _, endpoint := range shown.Pools[0].Endpoints {
			requests += endpoint.InFlight
		}
		return shown.Pools[0].PrefixEntries, requests
	}
	before, _ := state()
	next, err := config.Load([]byte(strings.Replace(string(config.DefaultText()), "weight: 3", "weight: 300", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(func() (*config.Config, error) { return next, nil }); err != nil {
		t.Fatal(err)
	}
	if s.Config() != next {
		t.Error("the new configuration is not in force")
	}
	if entries, requests := state(); before == 0 || entries != before || requests != 1 {
		t.Errorf("after the change %d entries of %d, %d requests in flight", entries, before, requests)
	}
	second, response := s.begin(long)
	if response.String() != picked {
		t.Error("a prompt that the index knows went elsewhere after the change")
	}
	finish(t, open)
	finish(t, second)
	s.expectIdle()
	broken := errors.New("broken")
	if err := s.Reload(func() (*config.Config, error) { return nil, broken }); !errors.Is(err, broken) || s.Config() != next {
		t.Errorf("a broken configuration: %v", err)
	}
}

func TestPluginStates(t *testing.T) {
	cfg := config.Default()
	cfg.Plugins = append(cfg.Plugins, config.Declared{Name: "mine", Type: "slow", Plugin: &slow{}})
	s := start(t, epp.Options{Config: cfg})
	s.setPool("10.0.0.1:8000")
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	stream, _ := s.begin(request)
	var shown struct {
		Timestamp time.Time
		Plugins   map[string]struct {
			Name, Type, Message string
			State               json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(get(t, web.URL+"/debug/plugins/state")), &shown); err != nil {
		t.Fatal(err)
	}
	finish(t, stream)
	if time.Since(shown.Timestamp) > patience {
		t.Errorf("timestamp %s", shown.Timestamp)
	}
	if mine := shown.Plugins["mine"]; mine.Name != "mine" || mine.Type != "slow" || !strings.Contains(string(mine.State), `7`) {
		t.Errorf("mine: %+v", mine)
	}
	if scorer := shown.Plugins["queue-scorer"]; scorer.Message == "" || scorer.State != nil {
		t.Errorf("a plugin without state: %+v", scorer)
	}
	var load struct {
		Endpoints []struct {
			Endpoint string
			Requests int
		}
	}
	if err := json.Unmarshal(shown.Plugins["inflight-load-producer"].State, &load); err != nil || len(load.Endpoints) != 1 ||
		load.Endpoints[0].Requests != 1 || load.Endpoints[0].Endpoint != "ns/pod-0-rank-0" {
		t.Errorf("in flight: %+v, %v", load, err)
	}
	if shown.Plugins["approx-prefix-cache-producer"].State == nil {
		t.Error("the prefix index shows nothing")
	}
}

// TestDrainLastsWhenToldTo does not end a drain early though nobody asks.
func TestDrainLastsWhenToldTo(t *testing.T) {
	s := start(t, epp.Options{DrainTimeout: 300 * time.Millisecond, DrainQuiet: -1})
	began := time.Now()
	s.Drain(t.Context())
	if lasted := time.Since(began); lasted < 300*time.Millisecond {
		t.Errorf("drained within %s", lasted)
	}
	s = start(t, epp.Options{DrainTimeout: patience, DrainQuiet: time.Millisecond})
	began = time.Now()
	s.Drain(t.Context())
	if lasted := time.Since(began); lasted >= patience {
		t.Errorf("a quiet drain lasted %s", lasted)
	}
}

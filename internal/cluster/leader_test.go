package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coordination "k8s.io/api/coordination/v1"
	"k8s.io/client-go/rest"

	"github.com/switchyard/switchyard/internal/lease"
	"github.com/switchyard/switchyard/internal/source"
)

// leaseServer is an API server that knows one Lease.
type leaseServer struct {
	mu      sync.Mutex
	lease   *coordination.Lease
	version int
	away    atomic.Bool // answers nothing but 503
}

func (s *leaseServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case s.away.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case r.Method == http.MethodGet && s.lease == nil:
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`))
		return
	case r.Method == http.MethodPost || r.Method == http.MethodPut:
		var lease coordination.Lease
		if err := json.NewDecoder(r.Body).Decode(&lease); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if s.lease != nil && lease.ResourceVersion != s.lease.ResourceVersion {
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Conflict","code":409}`))
			return
		}
		s.version++
		lease.ResourceVersion = strconv.Itoa(s.version)
		s.lease = &lease
	}
	lease := *s.lease
	lease.Kind, lease.APIVersion = "Lease", "coordination.k8s.io/v1"
	_ = json.NewEncoder(w).Encode(&lease)
}

func candidate(t *testing.T, server *httptest.Server, name string) *election {
	t.Helper()
	config := &rest.Config{Host: server.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	return &election{
		config: config, lease: source.Key{Namespace: "system", Name: "switchyard"}, identity: name, log: slog.New(slog.DiscardHandler),
		timing: lease.Timing{Duration: 2 * time.Second, Renew: time.Second, Retry: 50 * time.Millisecond},
	}
}

// replica is a candidate that runs: it tells of its terms, and counts how many of all candidates work at once.
type replica struct {
	terms chan string
	stop  context.CancelFunc
	ended chan error
}

func run(e *election, working *atomic.Int32, terms chan string, tooMany func()) *replica {
	ctx, stop := context.WithCancel(context.Background())
	r := &replica{terms: terms, stop: stop, ended: make(chan error, 1)}
	go func() {
		r.ended <- e.lead(ctx, func(ctx context.Context) error {
			if working.Add(1) > 1 {
				tooMany()
			}
			terms <- e.identity
			<-ctx.Done()
			working.Add(-1)
			return nil
		})
	}()
	return r
}

func next(t *testing.T, terms chan string) string {
	t.Helper()
	select {
	case name := <-terms:
		return name
	case <-time.After(20 * time.Second):
		t.Fatal("nobody leads")
		return ""
	}
}

// TestOneLeads hands the lease over when the leader stops, long before it would run out, and lets a leader that
// cannot renew it stop working and lead again later.
func TestOneLeads(t *testing.T) {
	api := &leaseServer{}
	server := httptest.NewServer(api)
	defer server.Close()
	var working atomic.Int32
	terms := make(chan string, 10)
	tooMany := func() { t.Error("two lead at once") }
	a := run(candidate(t, server, "a"), &working, terms, tooMany)
	if got := next(t, terms); got != "a" {
		t.Fatalf("%s leads, want a", got)
	}
	b := run(candidate(t, server, "b"), &working, terms, tooMany)
	handed := time.Now()
	a.stop()
	if err := <-a.ended; err != nil {
		t.Errorf("a ended with %v", err)
	}
	if got := next(t, terms); got != "b" {
		t.Fatalf("%s leads, want b", got)
	}
	if took := time.Since(handed); took > time.Second {
		t.Errorf("the lease was handed over after %v, want well below its 2s", took)
	}

	api.away.Store(true)
	for deadline := time.Now().Add(10 * time.Second); working.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("b works on without being able to renew the lease")
		}
	}
	api.away.Store(false)
	if got := next(t, terms); got != "b" {
		t.Fatalf("%s leads, want b", got)
	}
	b.stop()
	if err := <-b.ended; err != nil {
		t.Errorf("b ended with %v", err)
	}
}

// TestWorkThatFailsEndsTheElection tells the caller, who ends the process.
func TestWorkThatFailsEndsTheElection(t *testing.T) {
	server := httptest.NewServer(&leaseServer{})
	defer server.Close()
	want := errors.New("no rights")
	got := candidate(t, server, "a").lead(t.Context(), func(context.Context) error { return want })
	if !errors.Is(got, want) {
		t.Errorf("lead ended with %v, want %v", got, want)
	}
}

package drain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// What Envoy 1.40 answers, with an HTTP request, an idle HTTP connection, a TCP connection and the admin's own.
const answer = `http.admin.downstream_cx_active: 1
http.admin.downstream_rq_active: 1
http.http/80.downstream_cx_active: 2
http.http/80.downstream_rq_active: 1
http.https/443.downstream_cx_active: 1
http.https/443.downstream_rq_active: 0
http.readiness.downstream_cx_active: 4
http.readiness.downstream_rq_active: 3
listener.0.0.0.0_19001.downstream_cx_active: 4
listener.0.0.0.0_19001.worker_0.downstream_cx_active: 4
listener.0.0.0.0_443.downstream_cx_active: 1
listener.0.0.0.0_443.worker_0.downstream_cx_active: 1
listener.0.0.0.0_5432.downstream_cx_active: 1
listener.0.0.0.0_5432.worker_0.downstream_cx_active: 1
listener.0.0.0.0_80.downstream_cx_active: 2
listener.0.0.0.0_80.worker_0.downstream_cx_active: 2
listener.admin.downstream_cx_active: 1
listener.admin.main_thread.downstream_cx_active: 1
`

func TestWorkIsCounted(t *testing.T) {
	got, err := parseWork(answer)
	if want := (Work{Requests: 1, Connections: 3, Raw: 1}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if _, err := parseWork("http.http/80.downstream_rq_active: many\n"); err == nil || !strings.Contains(err.Error(), "downstream_rq_active") {
		t.Errorf("an answer that is no number: %v", err)
	}
	for w, busy := range map[Work]bool{{}: false, {Connections: 9}: false, {Requests: 1}: true, {Raw: 1}: true} {
		if w.Busy() != busy {
			t.Errorf("%+v is busy: %v", w, !busy)
		}
	}
}

// envoy is an admin interface with some requests open.
type envoy struct {
	mu       sync.Mutex
	requests int
	asked    []string
	at       []time.Time
	late     bool          // one more request comes when the listeners close
	looked   chan struct{} // told of each look at the counters
}

func newEnvoy(t *testing.T, requests int) (*envoy, Admin) {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	e := &envoy{requests: requests, looked: make(chan struct{}, 1)}
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return e, Admin{Address: netip.MustParseAddrPort(server.Listener.Addr().String())}
}

func (e *envoy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.URL.Path == "/stats" {
		select {
		case e.looked <- struct{}{}:
		default:
		}
		_, _ = fmt.Fprintf(w, "http.http/80.downstream_rq_active: %d\nhttp.http/80.downstream_cx_active: %d\nlistener.x.downstream_cx_active: %d\n", e.requests, e.requests, e.requests)
		return
	}
	if e.late && r.Method+" "+r.URL.RequestURI() == closes {
		e.requests++
	}
	e.asked, e.at = append(e.asked, r.Method+" "+r.URL.RequestURI()), append(e.at, time.Now())
	_, _ = io.WriteString(w, "OK\n")
}

func (e *envoy) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests = 0
}

func (e *envoy) check(t *testing.T, want ...string) []time.Time {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Equal(e.asked, want) {
		t.Errorf("the proxy was asked for %q, want %q", e.asked, want)
	}
	return e.at
}

const (
	fail   = "POST /healthcheck/fail"
	gentle = "POST /drain_listeners?graceful"
	closes = "POST /drain_listeners?inboundonly"
)

var quiet = slog.New(slog.DiscardHandler)

// Behind a Service the listeners stay open for Settle, and until the last request has ended.
func TestPodServesUntilNothingIsOpen(t *testing.T) {
	e, admin := newEnvoy(t, 1)
	const settle = 50 * time.Millisecond
	done := make(chan error, 1)
	go func() {
		done <- Pod(context.Background(), PodOptions{Admin: admin, Settle: settle, Limit: time.Minute, Log: quiet})
	}()
	for range 3 { // it looks again and again while the request is open
		<-e.looked
	}
	select {
	case err := <-done:
		t.Fatalf("ended before the request: %v", err)
	default:
	}
	at := e.check(t, fail, gentle)
	if len(at) == 2 && at[1].Sub(at[0]) < settle {
		t.Errorf("draining begins %s after readiness failed, want %s", at[1].Sub(at[0]), settle)
	}
	e.end()
	if err := <-done; err != nil {
		t.Error(err)
	}
	e.check(t, fail, gentle, closes)
}

// A request that comes on a connection which was idle when the listeners closed is waited for as others were.
func TestPodWaitsForTheLastRequest(t *testing.T) {
	e, admin := newEnvoy(t, 0)
	e.late = true
	done := make(chan error, 1)
	go func() {
		done <- Pod(context.Background(), PodOptions{Admin: admin, Settle: time.Millisecond, Limit: time.Minute, Idle: time.Millisecond, Log: quiet})
	}()
	select {
	case err := <-done:
		t.Fatalf("ended before the request: %v", err)
	case <-time.After(1500 * time.Millisecond):
	}
	e.check(t, fail, gentle, closes)
	e.end()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPodIsBounded(t *testing.T) {
	e, admin := newEnvoy(t, 1)
	const limit = 300 * time.Millisecond
	began := time.Now()
	err := Pod(context.Background(), PodOptions{Admin: admin, Settle: time.Millisecond, Limit: limit, Log: quiet})
	if err == nil || !strings.Contains(err.Error(), "1 requests") || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error says %v", err)
	}
	if took := time.Since(began); took < limit || took > limit+5*time.Second {
		t.Errorf("it took %s, want %s and a little", took, limit)
	}
	e.check(t, fail, gentle, closes)
}

// A proxy that does not run has nothing to wait for.
func TestPodWithoutProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin := Admin{Address: netip.MustParseAddrPort(l.Addr().String())}
	l.Close()
	if err := Pod(context.Background(), PodOptions{Admin: admin, Settle: time.Hour, Limit: time.Hour, Log: quiet}); err != nil {
		t.Error(err)
	}
}

// Where others serve the same port, the listeners close first.
func TestNow(t *testing.T) {
	e, admin := newEnvoy(t, 1)
	done := make(chan error, 1)
	go func() { done <- Now(context.Background(), admin, nil) }()
	<-e.looked
	e.check(t, closes, fail)
	e.end()
	if err := <-done; err != nil {
		t.Error(err)
	}
	exited := make(chan struct{})
	close(exited)
	if err := Now(context.Background(), admin, exited); !errors.Is(err, ErrExited) {
		t.Errorf("of a proxy that has exited: %v", err)
	}
}

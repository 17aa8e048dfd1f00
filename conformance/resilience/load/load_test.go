package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server answers as a model server does, and does worse when told to.
type server struct {
	*httptest.Server
	bad atomic.Pointer[http.HandlerFunc]

	mu      sync.Mutex
	clients map[string]int // requests by the client's address: by connection
}

func newServer(t *testing.T) *server {
	s := &server{clients: map[string]int{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.clients[r.RemoteAddr]++
	s.mu.Unlock()
	if bad := s.bad.Load(); bad != nil {
		(*bad)(w, r)
		return
	}
	w.Header().Set("x-sim-endpoint", "one")
	w.Header().Set("x-request-id", "id")
	var request struct {
		Stream    bool `json:"stream"`
		MaxTokens int  `json:"max_tokens"`
	}
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	if !request.Stream {
		fmt.Fprint(w, `{"choices":[]}`)
		return
	}
	for range request.MaxTokens {
		fmt.Fprint(w, "data: {}\n\n")
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

func (s *server) misbehave(h http.HandlerFunc) { s.bad.Store(&h) }

func (s *server) options(shapes ...Shape) Options {
	return Options{URL: s.URL, Model: "m", Shapes: shapes, Pause: time.Millisecond, Timeout: 5 * time.Second}
}

// TestEveryShape sends each shape and counts connections as the server sees them.
func TestEveryShape(t *testing.T) {
	for _, shape := range Mixed(4) {
		t.Run(shape.Name, func(t *testing.T) {
			s := newServer(t)
			run := Start(s.options(shape))
			defer run.Stop()
			if err := run.More(t.Context(), 5); err != nil {
				t.Fatal(err)
			}
			report := run.Stop()
			if failed := report.Failed(); len(failed) > 0 || len(report.Samples) < 6*shape.Workers {
				t.Fatalf("%s", report)
			}
			want := shape.Workers
			if shape.Fresh {
				want = len(report.Samples)
			}
			if len(s.clients) != want {
				t.Errorf("%d connections for %d requests, want %d", len(s.clients), len(report.Samples), want)
			}
			last := report.Samples[len(report.Samples)-1]
			if last.Server != "one" || last.RequestID != "id" || last.Reused == shape.Fresh {
				t.Errorf("%+v", last)
			}
		})
	}
}

// TestFailuresAreSeen has a server fail in the ways in which a proxy can fail its clients.
func TestFailuresAreSeen(t *testing.T) {
	hangUp := func(w http.ResponseWriter, before string) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		fmt.Fprint(conn, before)
		_ = conn.Close()
	}
	chat, stream, list := Shape{Name: "chat", Tokens: 2}, Shape{Name: "stream", Stream: true, Tokens: 3}, Shape{Name: "get", Get: true}
	for _, c := range []struct {
		name   string
		shape  Shape
		bad    http.HandlerFunc
		status int
		text   string
	}{
		{"refused", chat, func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no picker", http.StatusServiceUnavailable)
		}, http.StatusServiceUnavailable, "no picker"},
		{"hung up", chat, func(w http.ResponseWriter, _ *http.Request) { hangUp(w, "") }, 0, "EOF"},
		{"hung up on a list", list, func(w http.ResponseWriter, _ *http.Request) { hangUp(w, "") }, 0, "EOF"},
		{"cut", chat, func(w http.ResponseWriter, _ *http.Request) {
			hangUp(w, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
		}, http.StatusOK, "unexpected EOF"},
		{"no JSON", chat, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"a":`) }, http.StatusOK, "cut"},
		{"stream without its end", stream, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Repeat("data: {}\n\n", 3))
		}, http.StatusOK, "announced: false"},
		{"stream that lacks tokens", stream, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "data: {}\n\ndata: [DONE]\n\n")
		}, http.StatusOK, "after 1 events of 3"},
		{"silent", chat, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the client has gone
			<-r.Context().Done()
		}, 0, "deadline exceeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			s.misbehave(c.bad)
			o := s.options()
			if c.name == "silent" {
				o.Timeout = 50 * time.Millisecond
			}
			sample := Ask(o, c.shape, "hello")
			if sample.Status != c.status || !strings.Contains(sample.Err+sample.Body, c.text) || sample.Is(http.StatusOK) {
				t.Fatalf("%s", sample)
			}
			report := Report{[]Sample{sample}}
			if len(report.Failed()) != 1 || !strings.Contains(report.String(), c.text) {
				t.Errorf("report: %s", report)
			}
			if got := len(report.Not(c.status)) == 0; got != (c.status == http.StatusServiceUnavailable) {
				t.Errorf("Not(%d) hides a request without a whole answer: %s", c.status, sample)
			}
		})
	}
}

// TestNoRequestIsTriedAgain closes a kept connection while a request is on it: the caller must see that.
func TestNoRequestIsTriedAgain(t *testing.T) {
	s := newServer(t)
	shape := Shape{Name: "kept", Workers: 1, Tokens: 1}
	run := Start(s.options(shape))
	defer run.Stop()
	if err := run.More(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	s.misbehave(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) > 1 {
			fmt.Fprint(w, `{}`)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_ = conn.Close()
	})
	if err := run.More(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	report := run.Stop()
	if failed := report.Failed(); len(failed) != 1 || !failed[0].Reused {
		t.Fatalf("%d failures, want the one that was hung up on: %s", len(failed), report)
	}
}

// TestReport looks at a load in parts.
func TestReport(t *testing.T) {
	start := time.Now()
	report := Report{[]Sample{
		{Shape: "a", Began: start, Took: time.Second, Status: 200},
		{Shape: "b", Began: start.Add(time.Second), Took: 2 * time.Second, Status: 503, Body: "later"},
		{Shape: "c", Stream: true, Began: start.Add(2 * time.Second), Took: time.Minute, Status: 200, Err: "cut off"},
	}}
	if got := report.Since(start.Add(time.Second)); len(got.Samples) != 2 {
		t.Errorf("Since gives %d", len(got.Samples))
	}
	if got := report.Shape("b"); len(got.Samples) != 1 || !got.Samples[0].Ended().Equal(start.Add(3*time.Second)) {
		t.Errorf("Shape gives %+v", got.Samples)
	}
	if got := report.Longest(); got.Took != 2*time.Second {
		t.Errorf("Longest gives %s", got)
	}
	if text := report.String(); !strings.Contains(text, "b: 1 x 503") || !strings.Contains(text, "c: 1 x 200 and cut") || !strings.Contains(text, "later") {
		t.Error(text)
	}
}

// TestMoreGivesUp waits for a load that does not move.
func TestMoreGivesUp(t *testing.T) {
	s := newServer(t)
	release := make(chan struct{})
	s.misbehave(func(http.ResponseWriter, *http.Request) { <-release })
	run := Start(s.options(Shape{Name: "chat", Workers: 2, Tokens: 1}))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := run.More(ctx, 1)
	close(release)
	run.Stop()
	if err == nil || !strings.Contains(err.Error(), "2 of 2 workers") {
		t.Fatalf("error %v", err)
	}
}

package e2e

import (
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// recorder is a model server that keeps what it is asked. It answers every request with its name in
// x-sim-endpoint and, as the whole body, what `answer` says.
type recorder struct {
	name   string
	answer string

	mu  sync.Mutex
	got []recorded
}

// recorded is a request as it arrived.
type recorded struct {
	path    string
	headers http.Header
	length  int64 // announced, -1 if it was not
	size    int64 // of the body
	hash    [sha256.Size]byte
	err     error // of reading the body
}

// startRecorder serves at an address until the end of the test.
func startRecorder(t *testing.T, name, address string) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{name: name, answer: `{"object":"chat.completion","choices":[]}`}
	server := &http.Server{Handler: rec, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("recorder %s ended with: %v", name, err)
		}
	})
	return rec
}

// ServeHTTP implements http.Handler. Metrics pages are not there and not kept.
func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("x-sim-endpoint", rec.name)
	if r.URL.Path == "/metrics" {
		http.NotFound(w, r)
		return
	}
	hash := sha256.New()
	size, err := io.Copy(hash, r.Body)
	got := recorded{path: r.URL.Path, headers: r.Header, length: r.ContentLength, size: size, err: err}
	hash.Sum(got.hash[:0])
	rec.mu.Lock()
	rec.got = append(rec.got, got)
	rec.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, rec.answer) // the client's loss if it has gone
}

// take gives what arrived since the last call.
func (rec *recorder) take() []recorded {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	got := rec.got
	rec.got = nil
	return got
}

// recorderPods are n ready pods labelled app, at $NET.<first> and on, that no simulator is started for.
func recorderPods(app string, first, n int) string {
	out := ""
	for i := range n {
		out += deadPod(app, first+i)
	}
	return out
}

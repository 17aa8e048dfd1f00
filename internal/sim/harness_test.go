package sim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit bounds every wait of the tests.
const limit = 10 * time.Second

// running is a simulator on a real listener.
type running struct {
	*Server
	url    string
	client *http.Client
	t      *testing.T
	stop   func() // ends Serve and waits for it; done by the cleanup too
}

// start serves a simulator on loopback until the test ends.
func start(t *testing.T, cfg Config) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	stopped := false
	r := &running{Server: s, url: "http://" + l.Addr().String(), client: &http.Client{Transport: transport}, t: t}
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-served:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(limit):
			t.Error("Serve did not return")
		}
		transport.CloseIdleConnections()
	}
	t.Cleanup(r.stop)
	return r
}

// reply is an answer read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request and reads the whole answer.
func (r *running) do(method, path, body string, headers ...string) reply {
	r.t.Helper()
	resp := r.open(context.Background(), method, path, body, headers...)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, b}
}

// open sends a request and leaves the body to the caller.
func (r *running) open(ctx context.Context, method, path, body string, headers ...string) *http.Response {
	r.t.Helper()
	resp, err := r.client.Do(r.request(ctx, method, path, body, headers...))
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

func (r *running) request(ctx context.Context, method, path, body string, headers ...string) *http.Request {
	r.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

// object is any JSON object, for reading answers as a client would.
type object = map[string]any

func parse(t *testing.T, b []byte) object {
	t.Helper()
	var o object
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatalf("not JSON: %v in %q", err, b)
	}
	return o
}

// at walks into an object: string keys and int indexes.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, ok := v.(object)
			if !ok {
				t.Fatalf("no object at %v of %v: %v", p, path, v)
			}
			v = m[p]
		case int:
			l, ok := v.([]any)
			if !ok || p >= len(l) {
				t.Fatalf("no element %d of %v: %v", p, path, v)
			}
			v = l[p]
		}
	}
	return v
}

// completion asks for a text completion and gives prompt, cached and output tokens of its usage.
func (r *running) completion(prompt string, maxTokens int, extra ...any) (p, cached, out int) {
	r.t.Helper()
	ask := object{"model": r.cfg.Model, "prompt": prompt, "max_tokens": maxTokens}
	for i := 0; i+1 < len(extra); i += 2 {
		ask[extra[i].(string)] = extra[i+1]
	}
	got := r.do("POST", "/v1/completions", encode(r.t, ask))
	if got.status != 200 {
		r.t.Fatalf("status %d: %s", got.status, got.body)
	}
	return usageOf(r.t, parse(r.t, got.body))
}

func usageOf(t *testing.T, o object) (p, cached, out int) {
	t.Helper()
	u := at(t, o, "usage")
	p, out = number(t, u, "prompt_tokens"), number(t, u, "completion_tokens")
	if total := number(t, u, "total_tokens"); total != p+out {
		t.Fatalf("total_tokens %d of %d + %d", total, p, out)
	}
	return p, number(t, u, "prompt_tokens_details", "cached_tokens"), out
}

func number(t *testing.T, v any, path ...any) int {
	t.Helper()
	f, ok := at(t, v, path...).(float64)
	if !ok {
		t.Fatalf("no number at %v in %v", path, v)
	}
	return int(f)
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// events reads server-sent events and gives the data of each, with [DONE] as nil.
func events(t *testing.T, body []byte) []object {
	t.Helper()
	var out []object
	for event := range bytes.SplitSeq(body, []byte("\n\n")) {
		data, found := bytes.CutPrefix(event, []byte("data: "))
		switch {
		case len(event) == 0:
		case !found:
			t.Fatalf("not an event: %q", event)
		case string(data) == "[DONE]":
			out = append(out, nil)
		default:
			out = append(out, parse(t, data))
		}
	}
	return out
}

// nextEvent reads one event of a stream that is still going on.
func nextEvent(t *testing.T, lines *bufio.Reader) string {
	t.Helper()
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "data: "))
}

// eventually waits until a condition on the server's counts holds.
func (r *running) eventually(what string, holds func(Stats) bool) {
	r.t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds(r.Stats()) {
		select {
		case <-deadline:
			r.t.Fatalf("%s: still %+v", what, r.Stats())
		case <-tick.C:
		}
	}
}

// idle waits until nothing runs or waits, and checks that nothing was forgotten.
func (r *running) idle() {
	r.t.Helper()
	r.eventually("idle", func(s Stats) bool { return s.Running == 0 && s.Waiting == 0 && s.UsedBlocks == 0 })
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	if n := r.engine.pool.reserved; n != 0 {
		r.t.Errorf("%d blocks are still reserved", n)
	}
}

// text is a prompt of so many tokens that differs from others by its name, from the first token on.
func text(name byte, tokens int) string { return strings.Repeat(string(name), tokens*tokenBytes) }

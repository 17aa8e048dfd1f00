package burst

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard/switchyard/internal/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const model = "m"

// simulator serves a quick model server on loopback until the test ends.
func simulator(t *testing.T, name string) (*sim.Server, string) {
	t.Helper()
	s := sim.New(sim.Config{Name: name, Model: model, TimeScale: sim.Instant})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + l.Addr().String()
}

// proxy forwards each request to the backend that choose names, and remembers which requests it saw.
type proxy struct {
	url  string
	mu   sync.Mutex
	seen map[string]bool // request ids
}

func newProxy(t *testing.T, choose func(requestID string) string) *proxy {
	t.Helper()
	p := &proxy{seen: make(map[string]bool)}
	transport := &http.Transport{}
	reverse := &httputil.ReverseProxy{
		FlushInterval: -1,
		Transport:     transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			id := r.In.Header.Get("x-request-id")
			p.mu.Lock()
			p.seen[id] = true
			p.mu.Unlock()
			to, err := url.Parse(choose(id))
			if err != nil {
				t.Error(err)
			}
			r.SetURL(to)
		},
	}
	server := httptest.NewServer(reverse)
	p.url = server.URL
	t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
	})
	return p
}

func (p *proxy) saw(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[id]
}

// groupOf is the group of a request id in a burst of so many turns per group.
func groupOf(t *testing.T, id string, perGroup int) int {
	var hash uint64
	var index int
	if _, err := fmt.Sscanf(id, "burst-%x-%d", &hash, &index); err != nil {
		t.Errorf("request id %q: %v", id, err)
	}
	return (index - 1) / perGroup
}

// TestBurst goes through two proxies that keep each group at one of two servers.
func TestBurst(t *testing.T) {
	sims, urls := make([]*sim.Server, 2), make([]string, 2)
	for i := range sims {
		sims[i], urls[i] = simulator(t, fmt.Sprintf("gpu-%d", i))
	}
	const perGroup = 4
	choose := func(id string) string { return urls[groupOf(t, id, perGroup)%2] }
	a, b := newProxy(t, choose), newProxy(t, choose)
	o := Options{
		// Five of a, one of b, in turn.
		Targets: []string{a.url, a.url, a.url, a.url, b.url}, Model: model, Groups: 4, PerGroup: perGroup, PromptTokens: 1000,
		MaxTokens: 20, Seed: 7,
		WhichProxy: func(id string) string {
			switch {
			case a.saw(id):
				return "a"
			case b.saw(id):
				return "b"
			}
			return ""
		},
	}
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	expect := Expect{Proxies: []string{"a", "b"}, Endpoints: []string{"gpu-0", "gpu-1"}, MinEndpoints: 2, Sticky: true,
		Cached: true, MinHitRate: 0.7, MaxFirstEventDelay: 10 * time.Second}
	if err := r.Check(expect); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	if got := r.PerProxy(); got["a"] != 13 || got["b"] != 3 || len(got) != 2 {
		t.Errorf("per proxy %v", got)
	}
	if got := r.PerEndpoint(); got["gpu-0"] != 8 || got["gpu-1"] != 8 || len(got) != 2 {
		t.Errorf("per endpoint %v", got)
	}

	// The client's numbers are the servers'.
	var queries, hits, generated int64
	for _, s := range sims {
		stats := s.Stats()
		queries, hits, generated = queries+stats.PrefixQueries, hits+stats.PrefixHits, generated+stats.GenerationTokens
	}
	if got := float64(hits) / float64(queries); got != r.HitRate() {
		t.Errorf("hit rate %v here, %v there", r.HitRate(), got)
	}
	tokens := 0
	for i, x := range r.Results {
		tokens += x.OutputTokens
		// Prefix, questions and answers so far: each turn repeats all before it.
		if x.PromptTokens < 1000 || (x.Turn > 1 && x.PromptTokens <= r.Results[i-1].PromptTokens+20) {
			t.Errorf("turn %d of group %d has %d prompt tokens", x.Turn, x.Group, x.PromptTokens)
		}
		if x.TTFB <= 0 || x.TTFB > x.Total || x.Streamed != (x.Turn%2 == 1) || (x.FirstEventDelay > 0) != x.Streamed {
			t.Errorf("result %+v", x)
		}
	}
	if int64(tokens) != generated || tokens != 16*20 {
		t.Errorf("%d output tokens here, %d there, want 320", tokens, generated)
	}

	table := r.String()
	for _, want := range []string{"#   GROUP  PROXY  ENDPOINT  STATUS  TTFB", "16 in ", ", 0 failed", "a 13, b 3", "gpu-0 8, gpu-1 8"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	if lines := strings.Count(table, "\n"); lines != 1+16+1+4 {
		t.Errorf("%d lines in\n%s", lines, table)
	}
}

// TestEachRequestHasItsConnection counts connections, and looks at what is sent.
func TestEachRequestHasItsConnection(t *testing.T) {
	s := sim.New(sim.Config{Model: model, TimeScale: sim.Instant})
	var connections atomic.Int64
	var mu sync.Mutex
	ids := make(map[string]bool)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		ids[r.Header.Get("x-request-id")] = true
		if r.Host != "llm.example.com" || r.URL.Path != "/v1/chat/completions" {
			t.Errorf("asked %s of %s", r.URL.Path, r.Host)
		}
		s.ServeHTTP(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	r, err := Run(context.Background(), Options{Targets: []string{server.URL + "/"}, Host: "llm.example.com", Model: model,
		Groups: 3, PerGroup: 2, Stream: Streamed})
	if err != nil || r.Check(Expect{Sticky: true}) != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	if n := connections.Load(); n != 6 || len(ids) != 6 {
		t.Errorf("%d connections, %d request ids, want 6 and 6", n, len(ids))
	}
	for _, x := range r.Results {
		if x.Proxy != "" || !x.Done {
			t.Errorf("result %+v", x)
		}
	}
}

// TestConcurrencyIsBounded counts the requests in flight.
func TestConcurrencyIsBounded(t *testing.T) {
	s := sim.New(sim.Config{Model: model, TimeScale: sim.Instant})
	var now, most atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for n := now.Add(1); ; {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer now.Add(-1)
		<-time.After(20 * time.Millisecond) // long enough to be met by any other
		s.ServeHTTP(w, r)
	}))
	defer server.Close()
	r, err := Run(context.Background(), Options{Targets: []string{server.URL}, Model: model, Groups: 12, PerGroup: 1, Concurrency: 2, Stream: Unstreamed})
	if err != nil || r.Check(Expect{}) != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	if n := most.Load(); n != 2 {
		t.Errorf("%d requests at a time, want 2", n)
	}
}

func TestPromptsAreSeeded(t *testing.T) {
	first, again := prefix(1, 0, 100), prefix(1, 0, 100)
	if first != again || len(first) < 400 || len(first) > 420 {
		t.Errorf("%d bytes, repeatable: %v", len(first), first == again)
	}
	for _, other := range []string{prefix(1, 1, 100), prefix(2, 0, 100)} {
		if strings.HasPrefix(other, first[:64]) {
			t.Errorf("%q and %q share their first block", first, other)
		}
	}
	sameID := requestID(1, 0)
	if requestID(1, 0) != sameID || requestID(1, 0) == requestID(1, 1) || requestID(1, 0) == requestID(2, 0) {
		t.Error("request ids are not seeded")
	}
}

func TestRunRefuses(t *testing.T) {
	for says, o := range map[string]Options{
		"no target":    {Model: model},
		"ftp://x":      {Targets: []string{"ftp://x"}, Model: model},
		"no model":     {Targets: []string{"http://127.0.0.1:1"}},
		"must be posi": {Targets: []string{"http://127.0.0.1:1"}, Model: model, Groups: -1},
	} {
		if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v", says, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, address := simulator(t, "gpu")
	if _, err := Run(ctx, Options{Targets: []string{address}, Model: model}); err == nil {
		t.Error("a cancelled burst has no error")
	}
}

// TestAnyServerWillDo asks one that has no headers of the simulator: the numbers come from the usage, and the time to
// the first byte is that of the first event, not of the headers.
func TestAnyServerWillDo(t *testing.T) {
	const wait = 50 * time.Millisecond
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !strings.Contains(string(body), `"stream":true,"stream_options":{"include_usage":true}`) {
			t.Errorf("%v, body %.80s...", err, body)
		}
		_ = http.NewResponseController(w).Flush()
		<-time.After(wait)
		fmt.Fprint(w, ": a comment\n\n", `data: {"choices":[{"delta":{"content":"one two three"}}]}`, "\n\n",
			`data: {"choices":[],"usage":{"prompt_tokens":70,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":64}}}`,
			"\n\ndata:[DONE]\n\n")
	}))
	defer server.Close()
	r, err := Run(context.Background(), Options{Targets: []string{server.URL}, Model: model, Groups: 1, PerGroup: 1, Stream: Streamed,
		WhichEndpoint: func(id string) string { return "of " + id }})
	if err != nil || r.Check(Expect{Sticky: true}) != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	x := r.Results[0]
	if x.PromptTokens != 70 || x.CachedTokens != 64 || x.OutputTokens != 3 || x.TTFB < wait || x.FirstEventDelay != 0 ||
		x.Endpoint != "of "+x.RequestID {
		t.Errorf("result %+v", x)
	}
}

// TestBadAnswers lets the server do everything wrong, and looks at what Check and the table say of it.
func TestBadAnswers(t *testing.T) {
	const event = `data: {"choices":[{"delta":{"content":"x"}}]}` + "\n\n"
	for _, c := range []struct {
		what   string
		mode   Mode
		answer http.HandlerFunc
		status int
		says   string
	}{
		{"an error", Streamed, func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no healthy upstream", http.StatusServiceUnavailable)
		}, 503, "503 Service Unavailable: no healthy upstream"},
		{"a redirect", Streamed, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, 302, "302"},
		{"no DONE", Streamed, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, event) }, 200, "without [DONE]"},
		{"no tokens", Streamed, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "data: [DONE]\n\n") }, 200, "no tokens"},
		{"no JSON in an event", Streamed, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "data: {\n\n") }, 200, "read event"},
		{"no JSON at all", Unstreamed, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }, 200, "read answer"},
		{"no choices", Unstreamed, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }, 200, "no choice"},
		{"cut off", Streamed, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, event)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, 200, "read stream"},
		{"too slow", Streamed, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server see that the client has gone
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, 200, "deadline"},
	} {
		t.Run(c.what, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			timeout := 10 * time.Second
			if c.what == "too slow" {
				timeout = 100 * time.Millisecond
			}
			r, err := Run(context.Background(), Options{Targets: []string{server.URL}, Model: model, Groups: 1, PerGroup: 1,
				Stream: c.mode, Timeout: timeout})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Check(Expect{}); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("check says %v, want %q", err, c.says)
			}
			if got := r.Results[0].Status; got != c.status {
				t.Errorf("status %d, want %d", got, c.status)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		r, err := Run(context.Background(), Options{Targets: []string{"http://" + l.Addr().String()}, Model: model, Groups: 1, PerGroup: 1})
		if err != nil || r.Check(Expect{}) == nil || len(r.Failed()) != 1 || !strings.Contains(r.String(), "error") {
			t.Errorf("%v\n%s", err, r)
		}
	})
}

// TestCheckNamesWhatIsWrong takes one right report and spoils it in one place at a time.
func TestCheckNamesWhatIsWrong(t *testing.T) {
	good := func() *Report {
		r := new(Report)
		for i, endpoint := range []string{"gpu-0", "gpu-0", "gpu-1", "gpu-1"} {
			r.Results = append(r.Results, Result{Index: i + 1, Group: i/2 + 1, Turn: i%2 + 1, Status: 200, Endpoint: endpoint,
				Proxy: []string{"a", "b"}[i%2], Streamed: true, Done: true, OutputTokens: 1, PromptTokens: 100, CachedTokens: i % 2 * 80})
		}
		return r
	}
	expect := Expect{Proxies: []string{"a", "b"}, Endpoints: []string{"gpu-0", "gpu-1"}, MinEndpoints: 2, Sticky: true, Cached: true,
		MinHitRate: 0.4, MaxFirstEventDelay: time.Second}
	if err := good().Check(expect); err != nil {
		t.Fatalf("the right report: %v", err)
	}
	for _, c := range []struct {
		spoil func(r []Result)
		says  []string
	}{
		{func(r []Result) { r[1].Status = 503 }, []string{"request 2 (group 1, turn 2): status is 503"}},
		{func(r []Result) { r[1].Err = "broke" }, []string{"request 2 (group 1, turn 2): broke"}},
		{func(r []Result) { r[2].OutputTokens = 0 }, []string{"request 3 (group 2, turn 1): the answer has no tokens"}},
		{func(r []Result) { r[2].Done = false }, []string{"request 3 (group 2, turn 1): the stream ended without [DONE]"}},
		{func(r []Result) { r[0].FirstEventDelay = time.Minute }, []string{"took 1m0s"}},
		{func(r []Result) { r[1].Proxy, r[3].Proxy = "a", "a" }, []string{"proxy b handled no request"}},
		{func(r []Result) { r[1].Proxy = "c" }, []string{`by proxy "c"`}},
		{func(r []Result) { r[1].Proxy = "" }, []string{`by proxy ""`}},
		{func(r []Result) { r[3].Endpoint = "gpu-0" }, []string{"group 2 turn 2 went to gpu-0, expected it back at gpu-1"}},
		{func(r []Result) { r[2].Endpoint, r[3].Endpoint = "gpu-0", "gpu-0" }, []string{"1 servers answered (gpu-0 4), expected at least 2"}},
		{func(r []Result) { r[2].Endpoint, r[3].Endpoint = "gpu-2", "gpu-2" }, []string{`2 requests were answered by "gpu-2"`}},
		{func(r []Result) { r[2].Endpoint, r[3].Endpoint = "", "" }, []string{"group 2 turn 1: nobody knows", "1 servers answered"}},
		{func(r []Result) { r[1].CachedTokens = 0 }, []string{"none of its 100 prompt tokens cached", "hit rate is 0.200"}},
	} {
		r := good()
		c.spoil(r.Results)
		err := r.Check(expect)
		for _, says := range c.says {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("check says %v, want %q", err, says)
			}
		}
	}
	if err := new(Report).Check(Expect{}); err == nil {
		t.Error("an empty report passes")
	}
}

func TestTableShowsWhatIsMissing(t *testing.T) {
	r := &Report{Results: []Result{{Index: 1, Group: 1, Turn: 1, RequestID: "id-1", Err: "connection refused"}}}
	lines := strings.Split(r.String(), "\n")
	if got := strings.Fields(lines[1]); !slices.Equal(got, []string{"1", "1", "-", "-", "error", "0.0ms", "0.0ms", "0", "0", "0"}) {
		t.Errorf("row %q", got)
	}
	if !strings.Contains(r.String(), "failed      #1 id-1: connection refused") {
		t.Errorf("table:\n%s", r)
	}
}

package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/file"
)

// reply is an answer with its body read.
type reply struct {
	status  int
	headers http.Header
	body    string
}

// newClient makes a client that opens a connection for each request, so that requests spread over proxies and
// worker threads. It follows no redirect.
func newClient() *http.Client {
	return &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// newKeepAliveClient makes a client for load: it keeps its connections.
func newKeepAliveClient(t *testing.T) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Timeout: 60 * time.Second, Transport: transport}
}

// send makes one request; headers are name, value pairs, and Host sets the authority.
func send(client *http.Client, method, url, body string, headers ...string) (reply, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if body == "" {
		req.Body, req.ContentLength = nil, 0
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		} else {
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, headers: resp.Header, body: string(text)}, err
}

// get sends a GET to the fleet over a new connection and fails the test when there is no answer at all.
func (w *world) get(path string, headers ...string) reply {
	w.t.Helper()
	r, err := send(newClient(), http.MethodGet, w.url(path), "", headers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// post sends a POST to the fleet over a new connection and fails the test when there is no answer at all.
func (w *world) post(path, body string, headers ...string) reply {
	w.t.Helper()
	r, err := send(newClient(), http.MethodPost, w.url(path), body, headers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// chat is a chat completion request for the simulators' model.
func chat(prompt string, stream bool, maxTokens int) string {
	type message struct {
		Role    string `json:"role"` // first, as clients of OpenAI's write it
		Content string `json:"content"`
	}
	body, err := json.Marshal(struct {
		Messages  []message `json:"messages"`
		Model     string    `json:"model"`
		MaxTokens int       `json:"max_tokens"`
		Stream    bool      `json:"stream"`
	}{[]message{{"user", prompt}}, "sim-model", maxTokens, stream})
	if err != nil {
		panic(err)
	}
	return string(body)
}

// server is the simulator that answered.
func (r reply) server() string { return r.headers.Get("x-sim-endpoint") }

// accessLog keeps the lines that the proxies wrote, by request id.
type accessLog struct {
	mu    sync.Mutex
	lines map[string]accessLine
	raw   func(line []byte) // also given every line as it was written, if set; it must not keep it
}

// accessLine is what tests look at in one line of an access log.
type accessLine struct {
	Proxy     string
	RequestID string `json:"request_id"`
	Method    string `json:"method"`
	Path      string `json:"path"`
	Status    int    `json:"status"`
	Details   string `json:"details"`
	Route     string `json:"route"`
	Pool      string `json:"pool"`
	Picked    string `json:"picked"`
	Served    string `json:"served"`
	Upstream  string `json:"upstream"`
	FailOpen  string `json:"fail_open"`
}

func newAccessLog() *accessLog { return &accessLog{lines: map[string]accessLine{}} }

func (a *accessLog) write(proxy string, line []byte) {
	if a.raw != nil {
		a.raw(line)
	}
	l := accessLine{Proxy: proxy}
	if err := json.Unmarshal(line, &l); err != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines[l.RequestID] = l
}

// line waits for the access log line of a request that was answered.
func (a *accessLog) line(t *testing.T, requestID string) accessLine {
	t.Helper()
	var found accessLine
	eventually(t, 5*time.Second, "the access log has request "+requestID, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		var ok bool
		found, ok = a.lines[requestID]
		return ok
	})
	return found
}

func loadManifests(t *testing.T, dir string) *source.Objects {
	t.Helper()
	update, err := file.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range update.Problems {
		t.Fatalf("bad manifest: %s", p.Error())
	}
	return update.Objects
}

package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// tokenTime is how long a simulated server takes for a token of an answer.
const tokenTime = 20 * time.Millisecond

// headerNumber tells which of the visits that are expected a request is.
const headerNumber = "x-sizing-number"

// visit is a request that is expected.
type visit struct {
	hold     func() time.Duration // how long its answer takes; may block
	received chan time.Time       // gets when a server had all of it
}

// modelServers are the simulated servers: one listener, reached by a different loopback address for each. They are in this process, and
// as cheap as they can be, so that what is measured has the machine.
type modelServers struct {
	port    string
	server  *http.Server
	running atomic.Int64 // requests that each metrics page tells of
	streams atomic.Bool  // answers come token by token
	visits  sync.Map     // by number
}

func (s *modelServers) expect(number int, hold func() time.Duration) *visit {
	v := &visit{hold: hold, received: make(chan time.Time, 1)}
	s.visits.Store(number, v)
	return v
}

func (s *modelServers) forget(number int) { s.visits.Delete(number) }

func startServers() (*modelServers, error) {
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, err
	}
	s := &modelServers{port: port}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", s.serveMetrics)
	mux.HandleFunc("POST /", s.serveAnswer)
	s.server = &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

func (s *modelServers) stop() { _ = s.server.Close() }

// A server tells of a cache of two million tokens: of 31 250 blocks as the picker counts them, its default for servers that tell nothing.
const (
	cacheBlockTokens = 16
	cacheBlocks      = 125_000
	indexBlockTokens = 64
	indexBlocks      = cacheBlocks * cacheBlockTokens / indexBlockTokens
)

const metricsPage = `# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m"} %d
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name="m"} 0.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{model_name="m"} 0.25
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="%d",num_gpu_blocks="%d"} 1.0
`

func (s *modelServers) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprintf(w, metricsPage, s.running.Load(), cacheBlockTokens, cacheBlocks)
}

// answered is what a whole answer holds of a token, in bytes.
const answered = "word "

// chunk is what a streamed answer holds of a token.
const chunk = `data: {"id":"chatcmpl-5c9f3a526f1c4d0e8c530a9f7ce31a55","object":"chat.completion.chunk","created":1700000000,"model":"m",` +
	`"choices":[{"index":0,"delta":{"content":"word "},"logprobs":null,"finish_reason":null}]}` + "\n\n"

// serveAnswer takes as long as a server would that makes the tokens of an answer.
func (s *modelServers) serveAnswer(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.Header.Get(headerNumber))
	expected, known := s.visits.Load(number)
	if err != nil || !known {
		http.Error(w, "nobody expects this request", http.StatusBadRequest)
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return // the request was cut
	}
	v := expected.(*visit)
	select {
	case v.received <- time.Now():
	default: // it came twice
	}
	if s.streams.Load() {
		streamAnswer(w, r, v)
		return
	}
	count := int(v.hold() / tokenTime)
	if !sleep(r, time.Duration(count)*tokenTime) {
		return
	}
	w.Header().Set("content-type", "application/json")
	_, _ = fmt.Fprintf(w, `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,"message":`+
		`{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":100000,"completion_tokens":%d,"total_tokens":%d}}`,
		strings.Repeat(answered, count), count, 100_000+count)
}

// streamAnswer begins at once, also where the rest of the answer waits for other requests to come into flight.
func streamAnswer(w http.ResponseWriter, r *http.Request, v *visit) {
	w.Header().Set("content-type", "text/event-stream")
	flusher := w.(http.Flusher)
	_, _ = io.WriteString(w, chunk)
	flusher.Flush()
	count := int(v.hold() / tokenTime)
	tick := time.NewTicker(tokenTime)
	defer tick.Stop()
	for range count - 1 {
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
		if _, err := io.WriteString(w, chunk); err != nil {
			return
		}
		flusher.Flush()
	}
	_, _ = fmt.Fprintf(w, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"m\",\"choices\":[],"+
		"\"usage\":{\"prompt_tokens\":100000,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\ndata: [DONE]\n\n", count, 100_000+count)
}

// sleep waits, and tells whether the client is still there.
func sleep(r *http.Request, length time.Duration) bool {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFirstEventIsPrompt compares the clocks of the model server and the client: what is written arrives, and
// events keep the distance that they were written with.
func TestFirstEventIsPrompt(t *testing.T) {
	const requests, tokens, interToken = 50, 12, 15 * time.Millisecond
	w := newWorld(t, gateway+poolRoute("llm")+pool("llm", "sim")+
		simPods("sim", 1, 4, "--first-token", "5ms", "--inter-token", interToken.String()), worldOptions{proxies: 2})
	var first, gaps []time.Duration
	for n := range requests {
		s := openStream(t, w, chat(fmt.Sprintf("question %d", n), true, tokens))
		s.finish()
		if s.status != http.StatusOK || !s.done || s.words() != tokens {
			t.Fatalf("status %d, %d words, done %t", s.status, s.words(), s.done)
		}
		first = append(first, s.arrived[0].Sub(s.written))
		// The first two events, role and first token, are written together.
		for i := 2; i < len(s.arrived); i++ {
			gaps = append(gaps, s.arrived[i].Sub(s.arrived[i-1]))
		}
	}
	slices.Sort(first)
	slices.Sort(gaps)
	median, p90 := first[len(first)/2], first[len(first)*9/10]
	t.Logf("first event after it was written: median %s, p90 %s, worst %s", median, p90, first[len(first)-1])
	if median > 20*time.Millisecond {
		t.Errorf("the first event arrives %s after it was written (median), more than 20 ms", median)
	}
	t.Logf("between events written every %s: p10 %s, median %s, p90 %s", interToken,
		gaps[len(gaps)/10], gaps[len(gaps)/2], gaps[len(gaps)*9/10])
	if low := gaps[len(gaps)/10]; low < interToken/2 {
		t.Errorf("a tenth of the events arrive within %s of the one before, though they are written every %s", low, interToken)
	}
}

// TestClientGone has clients that go away before and amid an answer: the model server stops working for
// them, and the picker stops counting them.
func TestClientGone(t *testing.T) {
	for _, c := range []struct {
		name   string
		stream bool
		first  string // time to the first token
	}{
		{"amid the stream", true, "1ms"},
		{"before the first token", true, "30s"},
		{"before a whole answer", false, "1ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			const clients = 10
			w := newWorld(t, gateway+poolRoute("llm")+pool("llm", "sim")+
				simPods("sim", 1, 2, "--first-token", c.first, "--inter-token", "30ms"), worldOptions{})
			var streams []*pendingStream
			for n := range clients {
				s := openStream(t, w, chat(fmt.Sprintf("question %d", n), c.stream, 1000))
				if c.stream && c.first == "1ms" {
					s.next()
				}
				streams = append(streams, s)
			}
			eventually(t, 5*time.Second, "all are worked on", func() bool { return w.running() == clients })
			if n := w.inFlight(); n != clients {
				t.Errorf("the picker counts %d requests in flight, want %d", n, clients)
			}
			gone := time.Now()
			for _, s := range streams {
				s.leave()
			}
			eventually(t, time.Second, "nothing is in flight", func() bool { return w.inFlight() == 0 && w.inFlightTokens() == 0 })
			eventually(t, time.Second, "the model servers are idle", func() bool { return w.running() == 0 })
			t.Logf("idle %s after the clients went", time.Since(gone))
			var disconnects int64
			for _, s := range w.sims {
				disconnects += s.Stats().Disconnects
			}
			if disconnects != clients {
				t.Errorf("the model servers saw %d clients go, want %d", disconnects, clients)
			}
		})
	}
}

// TestTokenUsageReachesThePicker compares the picker's metrics with what the model servers count.
func TestTokenUsageReachesThePicker(t *testing.T) {
	w := newWorld(t, gateway+poolRoute("llm")+pool("llm", "sim")+simPods("sim", 1, 2, instantSim...), worldOptions{})
	const requests = 10
	asked := 0.0
	for _, c := range []struct {
		name, body string
	}{
		{"streamed",
			`{"model":"sim-model","stream":true,"stream_options":{"include_usage":true},"max_tokens":%d,"messages":[{"role":"user","content":%q}]}`},
		{"unstreamed",
			`{"model":"sim-model","max_tokens":%d,"messages":[{"role":"user","content":%q}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := range requests {
				prompt := longPrompt(fmt.Sprintf("%s %d", c.name, n/2), 300)
				if r := w.post("/v1/chat/completions", fmt.Sprintf(c.body, 3+n, prompt)); r.status != http.StatusOK {
					t.Fatalf("status %d %s", r.status, r.body)
				}
				asked++
			}
			var input, output, cached float64
			for _, s := range w.sims {
				stats := s.Stats()
				input += float64(stats.PromptTokens)
				output += float64(stats.GenerationTokens)
				cached += float64(stats.PrefixHits)
			}
			if cached == 0 {
				t.Error("nothing was cached, so that cached tokens are not tried")
			}
			want := fmt.Sprintf("%v requests, %v tokens in, %v of them cached, %v out", asked, input, cached, output)
			got := ""
			defer func() {
				if t.Failed() {
					t.Logf("the picker counts %s; the model servers %s", got, want)
				}
			}()
			eventually(t, 3*time.Second, "the picker counts what the model servers count", func() bool {
				page := w.metrics()
				value := func(name string) float64 { return metricValue(t, page, "llm_d_epp_request_"+name) }
				got = fmt.Sprintf("%v requests, %v tokens in, %v of them cached, %v out",
					value("output_tokens_count"), value("input_tokens_sum"), value("cached_tokens_sum"), value("output_tokens_sum"))
				return got == want
			})
		})
	}
}

// inFlight is the number of requests that the embedded picker counts as on their way.
func (w *world) inFlight() (n int64) {
	for _, p := range w.stack.Pools.List() {
		for _, e := range p.Endpoints() {
			n += e.Requests()
		}
	}
	return n
}

// inFlightTokens is the number of prompt tokens that the embedded picker counts as on their way.
func (w *world) inFlightTokens() (n int64) {
	for _, p := range w.stack.Pools.List() {
		for _, e := range p.Endpoints() {
			n += e.Tokens()
		}
	}
	return n
}

// metrics is the metrics page of the control plane, which has the embedded picker's.
func (w *world) metrics() string {
	w.t.Helper()
	r, err := send(newClient(), http.MethodGet, "http://"+w.stack.AdminAddr.String()+"/metrics", "")
	if err != nil || r.status != http.StatusOK {
		w.t.Fatalf("%v, status %d", err, r.status)
	}
	return r.body
}

// answerStream is an answer as it arrives.
type answerStream struct {
	t         *testing.T
	cancel    context.CancelFunc
	body      *bufio.Reader
	closer    io.Closer
	status    int
	requestID string
	server    string

	events  int       // with a choice
	done    bool      // [DONE] was there
	text    string    // what the model said
	written time.Time // when the simulator wrote the first event
	arrived []time.Time
}

// completion is what tests look at in an event or a whole answer.
type completion struct {
	Choices []struct {
		Delta   struct{ Content string }
		Message struct{ Content string }
	}
	Written int64 `json:"sim_written_unix_nano"`
}

// openStream sends a chat completion request over a connection of its own. It returns at once: the answer's
// headers are waited for by next and finish.
func openStream(t *testing.T, w *world, body string) *pendingStream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url("/v1/chat/completions"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	p := &pendingStream{opened: make(chan error, 1), answerStream: answerStream{t: t, cancel: cancel}}
	client := newClient()
	client.Timeout = 0 // the context's is
	go func() {
		resp, err := client.Do(req)
		if err == nil {
			p.status, p.requestID, p.server = resp.StatusCode, resp.Header.Get("x-request-id"), resp.Header.Get("x-sim-endpoint")
			p.body, p.closer = bufio.NewReader(resp.Body), resp.Body
		}
		p.opened <- err
	}()
	t.Cleanup(p.leave)
	return p
}

// pendingStream is an answer whose headers may not have come yet.
type pendingStream struct {
	answerStream
	opened chan error
	open   bool
}

// wait waits for the headers of the answer. It and what follows may run in any goroutine.
func (p *pendingStream) wait() bool {
	p.t.Helper()
	if p.open {
		return true
	}
	if err := <-p.opened; err != nil {
		p.t.Error(err)
		p.opened <- err // leave looks for it
		return false
	}
	p.open = true
	return true
}

// leave goes away, as a client that closes its connection does.
func (p *pendingStream) leave() {
	if p.cancel == nil {
		return
	}
	p.cancel()
	p.cancel = nil
	if p.open || <-p.opened == nil {
		_ = p.closer.Close()
	}
}

// next waits for one event. It returns false at the end of the answer.
func (p *pendingStream) next() bool {
	p.t.Helper()
	if !p.wait() {
		return false
	}
	for {
		line, err := p.body.ReadString('\n')
		if err == io.EOF && line == "" {
			return false
		}
		if err != nil && err != io.EOF {
			p.t.Errorf("after %d events: %v", p.events, err)
			return false
		}
		data, isEvent := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		switch {
		case data == "[DONE]":
			p.done = true
		case data != "":
			return p.read(data, isEvent)
		}
	}
}

func (p *pendingStream) read(data string, isEvent bool) bool {
	p.t.Helper()
	var c completion
	if err := json.Unmarshal([]byte(data), &c); err != nil {
		p.t.Errorf("event %d is %q: %v", p.events+1, data, err)
		return false
	}
	if c.Written > 0 {
		p.written = time.Unix(0, c.Written)
	}
	for _, choice := range c.Choices {
		p.text += choice.Delta.Content + choice.Message.Content
		if isEvent {
			p.events++
			p.arrived = append(p.arrived, time.Now())
		}
	}
	return true
}

// finish reads to the end.
func (p *pendingStream) finish() {
	p.t.Helper()
	for p.next() {
	}
}

// words is the number of tokens that the model said: simulators say one word per token.
func (p *pendingStream) words() int { return len(strings.Fields(p.text)) }

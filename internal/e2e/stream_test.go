package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url("/v1/chat/completions"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	p := &pendingStream{opened: make(chan error, 1), answerStream: answerStream{t: t, cancel: cancel}}
	go func() {
		resp, err := newClient().Do(req)
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

func (p *pendingStream) wait() {
	p.t.Helper()
	if p.open {
		return
	}
	if err := <-p.opened; err != nil {
		p.t.Fatal(err)
	}
	p.open = true
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
	p.wait()
	for {
		line, err := p.body.ReadString('\n')
		if err == io.EOF && line == "" {
			return false
		}
		if err != nil && err != io.EOF {
			p.t.Fatalf("after %d events: %v", p.events, err)
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
		p.t.Fatalf("event %d is %q: %v", p.events+1, data, err)
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

package load

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"
)

// Sample is what came of one request.
type Sample struct {
	Shape  string
	Stream bool
	Began  time.Time
	Took   time.Duration
	// Status is 0 when there was no answer.
	Status int
	// Err is why there was no answer, or not the whole of it.
	Err string
	// Body is the beginning of an answer that is not 200.
	Body string
	// Server is the model server that answered, RequestID what the proxy calls the request.
	Server, RequestID string
	// Reused tells whether the connection had carried a request before.
	Reused bool
}

// Ended is when all of the answer was there.
func (s Sample) Ended() time.Time { return s.Began.Add(s.Took) }

// Is tells whether the request got a whole answer with this status.
func (s Sample) Is(status int) bool { return s.Status == status && s.Err == "" }

func (s Sample) String() string {
	out := fmt.Sprintf("%s, began %s, took %s: ", s.Shape, s.Began.Format("15:04:05.000"), s.Took.Round(time.Millisecond))
	switch {
	case s.Err != "" && s.Status != 0:
		return out + fmt.Sprintf("status %d, then %s", s.Status, s.Err)
	case s.Err != "":
		return out + s.Err
	}
	return out + fmt.Sprintf("status %d %s", s.Status, s.Body)
}

// maxBody bounds how much of an answer is kept for messages, in bytes.
const maxBody = 200

// caller sends requests of one shape.
type caller struct {
	opts   Options
	shape  Shape
	client *http.Client
	prompt string
}

// Ask sends one request of a shape over a connection of its own.
func Ask(o Options, shape Shape, prompt string) Sample {
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true, TLSClientConfig: o.TLS.Clone(), Protocols: http1()}
	defer transport.CloseIdleConnections()
	c := &caller{opts: o, shape: shape, client: &http.Client{Transport: transport}, prompt: prompt}
	return c.ask()
}

// ask sends one request and reads its answer to the end.
func (c *caller) ask() Sample {
	s := Sample{Shape: c.shape.Name, Stream: c.shape.Stream, Began: time.Now()}
	ctx, cancel := context.WithTimeout(context.Background(), c.opts.Timeout)
	defer cancel()
	if err := c.exchange(ctx, &s); err != nil {
		s.Err = err.Error()
	}
	s.Took = time.Since(s.Began)
	return s
}

func (c *caller) exchange(ctx context.Context, s *Sample) error {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { s.Reused = i.Reused }})
	req, err := c.request(ctx)
	if err != nil {
		return err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	s.Status, s.Server, s.RequestID = resp.StatusCode, resp.Header.Get("x-sim-endpoint"), resp.Header.Get("x-request-id")
	if s.Status != http.StatusOK {
		text, err := io.ReadAll(resp.Body)
		s.Body = strings.TrimSpace(string(text[:min(len(text), maxBody)]))
		return err
	}
	if c.shape.Stream {
		return c.readStream(resp.Body)
	}
	return c.readWhole(resp.Body)
}

func (c *caller) request(ctx context.Context) (*http.Request, error) {
	method, path, body := http.MethodGet, "/v1/models", io.Reader(nil)
	if !c.shape.Get {
		text, err := json.Marshal(map[string]any{
			"model": c.opts.Model, "stream": c.shape.Stream, "max_tokens": c.shape.Tokens,
			"messages": []map[string]string{{"role": "user", "content": c.prompt}},
		})
		if err != nil {
			return nil, err
		}
		method, path, body = http.MethodPost, "/v1/chat/completions", strings.NewReader(string(text))
	}
	req, err := http.NewRequestWithContext(ctx, method, c.opts.URL+path, body)
	if err != nil {
		return nil, err
	}
	// Without it the client cannot send a body twice: it would try again by itself when a kept connection turns out to be closed.
	req.GetBody = nil
	if c.opts.Host != "" {
		req.Host = c.opts.Host
	}
	req.Header.Set("content-type", "application/json")
	return req, nil
}

// readWhole wants an answer that is JSON to its end.
func (c *caller) readWhole(body io.Reader) error {
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if !json.Valid(text) {
		return fmt.Errorf("the answer is cut: %.*q", maxBody, text)
	}
	return nil
}

// readStream wants every token and the mark of the end.
func (c *caller) readStream(body io.Reader) error {
	lines := bufio.NewScanner(body)
	events, done := 0, false
	for lines.Scan() {
		data, found := strings.CutPrefix(lines.Text(), "data: ")
		switch {
		case !found:
		case data == "[DONE]":
			done = true
		default:
			events++
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("after %d events: %w", events, err)
	}
	if !done || events < c.shape.Tokens {
		return fmt.Errorf("the stream ended after %d events of %d or more, its end announced: %t", events, c.shape.Tokens, done)
	}
	return nil
}

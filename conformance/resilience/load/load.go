// Package load sends requests to a Gateway until it is told to stop, and keeps what came of each. It never retries, never hides an
// error, and judges nothing: whoever looks at the samples knows what should have happened.
//
//	Options -> workers, each with one shape of request -> Samples -> Report
package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Shape is one kind of request, and how many workers send it, each one request at a time.
type Shape struct {
	Name    string
	Workers int
	// Fresh opens a connection for each request; else each worker keeps one.
	Fresh bool
	// Stream asks for server-sent events.
	Stream bool
	// Get asks for the list of models in place of a chat completion.
	Get bool
	// Tokens is the length of the answer.
	Tokens int
}

// Mixed is every shape there is: short answers and lists on new and on kept connections, and streams of so many tokens on both.
func Mixed(streamTokens int) []Shape {
	return []Shape{
		{Name: "fresh", Workers: 3, Fresh: true, Tokens: 3},
		{Name: "kept", Workers: 3, Tokens: 3},
		{Name: "fresh get", Workers: 1, Fresh: true, Get: true},
		{Name: "kept get", Workers: 1, Get: true},
		{Name: "fresh stream", Workers: 2, Fresh: true, Stream: true, Tokens: streamTokens},
		{Name: "kept stream", Workers: 2, Stream: true, Tokens: streamTokens},
	}
}

// Options say where the load goes.
type Options struct {
	URL    string // scheme://address[:port]
	Host   string // the authority; empty means that of URL
	Model  string
	TLS    *tls.Config
	Shapes []Shape
	// Pause is between two requests of a worker; default 50 ms.
	Pause time.Duration
	// Timeout bounds one request with all of its answer; default one minute.
	Timeout time.Duration
	// OnSample, if set, is given each sample as it comes, from many goroutines.
	OnSample func(Sample)
}

// Run is a load under way.
type Run struct {
	opts    Options
	stop    chan struct{}
	stopped sync.Once
	workers sync.WaitGroup
	began   time.Time

	mu      sync.Mutex
	samples []Sample
	done    []int // requests that each worker has finished
	changed chan struct{}
}

// Start begins a load. It ends with Stop, which must be called.
func Start(o Options) *Run {
	if o.Pause == 0 {
		o.Pause = 50 * time.Millisecond
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	r := &Run{opts: o, stop: make(chan struct{}), began: time.Now(), changed: make(chan struct{})}
	for _, shape := range o.Shapes {
		for range shape.Workers {
			r.done = append(r.done, 0)
			n := len(r.done) - 1
			r.workers.Go(func() { r.work(n, shape) })
		}
	}
	return r
}

// work sends requests of one shape, one after the other.
func (r *Run) work(n int, shape Shape) {
	transport := &http.Transport{
		DisableCompression: true, DisableKeepAlives: shape.Fresh, TLSClientConfig: r.opts.TLS.Clone(),
		MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1, Protocols: http1(),
	}
	defer transport.CloseIdleConnections()
	c := &caller{opts: r.opts, shape: shape, client: &http.Client{Transport: transport}}
	for i := 0; ; i++ {
		c.prompt = fmt.Sprintf("worker %d asks question %d", n, i)
		s := c.ask()
		r.record(n, s)
		timer := time.NewTimer(r.opts.Pause)
		select {
		case <-timer.C:
		case <-r.stop:
			timer.Stop()
			return
		}
	}
}

// http1 has one connection carry one request at a time, so that connections can be counted.
func http1() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	return &p
}

func (r *Run) record(n int, s Sample) {
	if r.opts.OnSample != nil {
		r.opts.OnSample(s)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, s)
	r.done[n]++
	close(r.changed)
	r.changed = make(chan struct{})
}

// More waits until every worker has finished so many further requests, the one that it is at not counted: the load has then seen
// what is there now.
func (r *Run) More(ctx context.Context, requests int) error {
	r.mu.Lock()
	goal := slices.Clone(r.done)
	r.mu.Unlock()
	for i := range goal {
		goal[i] += requests + 1
	}
	for {
		r.mu.Lock()
		behind, changed := 0, r.changed
		for i, n := range r.done {
			if n < goal[i] {
				behind++
			}
		}
		r.mu.Unlock()
		if behind == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d workers have not finished %d more requests: %w", behind, len(goal), requests, ctx.Err())
		}
	}
}

// Report is what has come so far.
func (r *Run) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Report{Samples: slices.Clone(r.samples)}
}

// Stop begins no further request, waits for those under way, and gives the report. It may be called again.
func (r *Run) Stop() Report {
	r.stopped.Do(func() { close(r.stop) })
	r.workers.Wait()
	return r.Report()
}

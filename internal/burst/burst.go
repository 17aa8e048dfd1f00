// Package burst sends a short burst of real OpenAI chat requests and tells what became of each: which proxy and
// which model server answered, how fast, and how much of the prompt was cached. The requests are the turns of
// a few conversations, each with a long prefix of its own, so that it shows whether a conversation stays where its
// prefix is cached.
//
// It must not know how the proxies are configured: it is a client, and who was between is told by its caller.
//
// Data flow: Options -> conversations -> HTTP requests, each on its own connection -> Report -> table, check.
package burst

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Mode says which of the requests ask for a streamed answer.
type Mode int

const (
	Mixed      Mode = iota // every second turn
	Streamed               // all
	Unstreamed             // none
)

// Options describe a burst. A zero value means the default, which is named at each field.
type Options struct {
	// Targets are base URLs, such as http://127.0.0.1:8080, taken in turn. At least one.
	Targets []string
	// Host is the requests' Host header. Default: the target's.
	Host string
	// Path of the chat API. Default /v1/chat/completions.
	Path string
	// Model to ask for. Required.
	Model string

	Groups   int // conversations; default 4
	PerGroup int // turns of each; default 3
	// PromptTokens is the length of each conversation's prefix, at four bytes per token. Default 2000.
	PromptTokens int
	// MaxTokens is the length of each answer. Default 16.
	MaxTokens int
	Stream    Mode
	// Concurrency is how many conversations are held at a time; the turns of one follow each other. Default: all.
	Concurrency int
	// Timeout bounds each request. Default 30 s.
	Timeout time.Duration
	// Seed chooses the prompts and request ids. Another seed shares no prefix with this one.
	Seed uint64

	// WhichProxy names the proxy that handled a request; it is asked after the last answer, so it may read an access
	// log. Default: the target's host, when there are several targets.
	WhichProxy func(requestID string) string
	// WhichEndpoint names the server of a request whose answer has no x-sim-endpoint.
	WhichEndpoint func(requestID string) string
}

func (o Options) withDefaults() Options {
	o.Path = cmp.Or(o.Path, "/v1/chat/completions")
	o.Groups = cmp.Or(o.Groups, 4)
	o.PerGroup = cmp.Or(o.PerGroup, 3)
	o.PromptTokens = cmp.Or(o.PromptTokens, 2000)
	o.MaxTokens = cmp.Or(o.MaxTokens, 16)
	o.Concurrency = cmp.Or(o.Concurrency, o.Groups)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	return o
}

// validate refuses a burst that cannot be meant.
func (o Options) validate() error {
	if len(o.Targets) == 0 {
		return errors.New("burst: no target, give at least one base URL")
	}
	for _, t := range o.Targets {
		if u, err := url.Parse(t); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return fmt.Errorf("burst: target %q is not a base URL, give one such as http://127.0.0.1:8080", t)
		}
	}
	if o.Model == "" {
		return errors.New("burst: no model, name one that the servers have")
	}
	if min(o.Groups, o.PerGroup, o.PromptTokens, o.MaxTokens, o.Concurrency) < 1 || o.Timeout < 0 {
		return errors.New("burst: groups, turns, prompt, answer, concurrency and timeout must be positive")
	}
	return nil
}

// streamed tells whether a turn asks for a stream; turns count from 1.
func (o *Options) streamed(turn int) bool {
	return o.Stream == Streamed || (o.Stream == Mixed && turn%2 == 1)
}

// Run sends the burst and waits for all of it. A request that fails is a Result and no error; the error is for
// a burst that could not be sent, or was cancelled.
func Run(ctx context.Context, o Options) (*Report, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	transport := &http.Transport{
		// A new connection each time: several proxies that listen on one port are each handed whole connections.
		DisableKeepAlives: true,
		// Bytes are passed on as they come, and not more than the answer is worth.
		DisableCompression: true,
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer transport.CloseIdleConnections()

	report := &Report{Results: make([]Result, o.Groups*o.PerGroup)}
	places := make(chan struct{}, o.Concurrency)
	var groups sync.WaitGroup
	begun := time.Now()
	for g := range o.Groups {
		groups.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			runGroup(ctx, client, &o, g, report.Results[g*o.PerGroup:(g+1)*o.PerGroup])
		})
	}
	groups.Wait()
	report.Elapsed = time.Since(begun)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("burst: %w", err)
	}
	attribute(report.Results, &o)
	return report, nil
}

// runGroup holds one conversation, filling in a result for each turn.
func runGroup(ctx context.Context, client *http.Client, o *Options, group int, results []Result) {
	c := newConversation(o, group)
	for i := range results {
		r := &results[i]
		index := group*o.PerGroup + i
		*r = Result{
			Index: index + 1, Group: group + 1, Turn: i + 1,
			RequestID: requestID(o.Seed, index),
			Target:    strings.TrimSuffix(o.Targets[index%len(o.Targets)], "/"),
			Streamed:  o.streamed(i + 1),
		}
		c.ask(i + 1)
		answer := send(ctx, client, o, c.messages, r)
		c.hear(answer)
	}
}

// attribute names proxies and servers, once all answers are in.
func attribute(results []Result, o *Options) {
	for i := range results {
		r := &results[i]
		switch {
		case o.WhichProxy != nil:
			r.Proxy = o.WhichProxy(r.RequestID)
		case len(o.Targets) > 1:
			r.Proxy = strings.SplitAfterN(r.Target, "//", 2)[1]
		}
		if r.Endpoint == "" && o.WhichEndpoint != nil {
			r.Endpoint = o.WhichEndpoint(r.RequestID)
		}
	}
}

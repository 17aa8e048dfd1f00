package tokens

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/switchyard/switchyard/epp/body"
)

// DefaultURL is where a render server is when nothing else is said: beside the picker.
const DefaultURL = "http://localhost:8000"

// maxAnswer bounds the answer of a render endpoint, in bytes.
const maxAnswer = 64 << 20

// A server that fails so many times in a row is left alone for a while: nobody should wait for it.
const (
	failuresToRest = 5
	rest           = time.Second
)

// Errors of Render besides those of the network.
var (
	// ErrAPI is a request of an API that has no render endpoint.
	ErrAPI = errors.New("there is no render endpoint for this API")
	// ErrResting is a server that is left alone because it has failed.
	ErrResting = errors.New("the render server has failed several times in a row and is left alone for a moment")
)

// Options of a Client. The zero value is good.
type Options struct {
	// URL of the server, without a path; empty: DefaultURL.
	URL string
	// Timeout bounds one question; 0: only the context does.
	Timeout time.Duration
	// TLS is for an https URL; nil: the system's certificates.
	TLS *tls.Config
}

// Client asks a render server. Safe for concurrent use.
type Client struct {
	base    string
	timeout time.Duration
	http    *http.Client

	failures  atomic.Int32
	restUntil atomic.Int64 // unix nanoseconds
}

// New makes a client. Close it.
func New(o Options) (*Client, error) {
	if o.URL == "" {
		o.URL = DefaultURL
	}
	parsed, err := url.Parse(o.URL)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return nil, fmt.Errorf("%q must be http://host:port or https://host:port", o.URL)
	}
	return &Client{
		base: strings.TrimRight(o.URL, "/"), timeout: o.Timeout,
		http: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				DialContext:         (&net.Dialer{Timeout: time.Second, KeepAlive: 30 * time.Second}).DialContext,
				MaxIdleConnsPerHost: 256,
				MaxConnsPerHost:     256,
				IdleConnTimeout:     90 * time.Second,
				TLSClientConfig:     o.TLS,
				DisableCompression:  true,
			},
		},
	}, nil
}

// Close gives back connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Render gives the tokens of a request. raw is its whole body; path is where it was sent, by its API.
func (c *Client) Render(ctx context.Context, api body.API, raw []byte) (*Prompt, error) {
	path := ""
	switch api {
	case body.Generate, body.SGLangGenerate:
		return FromBody(api, raw)
	case body.ChatCompletions:
		path = "/v1/chat/completions/render"
	case body.Completions:
		path = "/v1/completions/render"
	default:
		return nil, ErrAPI
	}
	if time.Now().UnixNano() < c.restUntil.Load() {
		return nil, ErrResting
	}
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	text, err := c.post(ctx, path, raw)
	if err != nil {
		return nil, err
	}
	prompt, err := parseRendered(text)
	if err != nil {
		return nil, fmt.Errorf("the answer of %s: %w", path, err)
	}
	return prompt, nil
}

func (c *Client) post(ctx context.Context, path string, raw []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		c.failed(ctx)
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		c.failed(ctx)
		return nil, err
	case len(text) > maxAnswer:
		return nil, fmt.Errorf("the answer of %s is larger than %d bytes", path, maxAnswer)
	case response.StatusCode >= http.StatusInternalServerError:
		c.failed(ctx)
		return nil, fmt.Errorf("%s answers %s", path, response.Status)
	}
	c.failures.Store(0) // whatever it says, it is there
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %.200s", path, response.Status, text)
	}
	return text, nil
}

// failed counts towards a rest. A request that its client gave up says nothing about the server.
func (c *Client) failed(ctx context.Context) {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return
	}
	if c.failures.Add(1) >= failuresToRest {
		c.failures.Store(0)
		c.restUntil.Store(time.Now().Add(rest).UnixNano())
	}
}

package tokens

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/switchyard/switchyard/epp/body"
)

// DefaultURL is where a render server is when nothing else is said: beside the picker.
const DefaultURL = "http://localhost:8000"

// maxAnswer bounds the answer of a render endpoint, in bytes.
const maxAnswer = 64 << 20

// A server that fails so many times in a row is left alone for a while: nobody should wait for it. So is one that refuses, and
// an endpoint that it does not have.
const (
	failuresToRest = 5
	rest           = time.Second
	absence        = time.Minute
)

// Errors of Render besides those of the network.
var (
	// ErrAPI is a request of an API that has no render endpoint.
	ErrAPI = errors.New("there is no render endpoint for this API")
	// ErrResting is a server that is left alone because it has failed.
	ErrResting = errors.New("the render server has refused, or failed several times in a row, and is left alone for a moment")

	errModel = errors.New("the render server does not know the model")
)

// Options of a Client. The zero value is good.
type Options struct {
	// URL of the server, without a path; empty: DefaultURL.
	URL string
	// Model is asked for in place of one that the server does not know, such as an adapter that only the servers which generate
	// have loaded; empty: none is.
	Model string
	// Timeout bounds one question; 0: only the context does.
	Timeout time.Duration
	// TLS is for an https URL; nil: the system's certificates.
	TLS *tls.Config
	// Logger hears of a server that does not give tokens because of how it was started; nil: slog's default.
	Logger *slog.Logger
}

// Client asks a render server. Safe for concurrent use.
type Client struct {
	base    string
	model   string
	timeout time.Duration
	http    *http.Client
	logger  *slog.Logger

	failures  atomic.Int32
	restUntil atomic.Int64 // unix nanoseconds
	refusing  atomic.Bool
	absent    [len(endpoints)]atomic.Int64 // until when an endpoint counts as not there, unix nanoseconds
}

// endpoint is a render endpoint.
type endpoint struct {
	api  body.API
	path string
}

// endpoints are the render endpoints by API. The first two are in vLLM for longer than the others.
var endpoints = [...]endpoint{
	{body.ChatCompletions, "/v1/chat/completions/render"},
	{body.Completions, "/v1/completions/render"},
	{body.Messages, "/v1/messages/render"},
	{body.Responses, "/v1/responses/render"},
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
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Client{
		base: strings.TrimRight(o.URL, "/"), model: o.Model, timeout: o.Timeout, logger: o.Logger,
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
	if api == body.Generate || api == body.SGLangGenerate {
		return FromBody(api, raw)
	}
	at := slices.IndexFunc(endpoints[:], func(e endpoint) bool { return e.api == api })
	now := time.Now().UnixNano()
	switch {
	case at < 0 || now < c.absent[at].Load():
		return nil, ErrAPI
	case now < c.restUntil.Load():
		return nil, ErrResting
	}
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	text, err := c.post(ctx, at, raw)
	if errors.Is(err, errModel) && c.model != "" {
		if raw = withModel(raw, c.model); raw != nil {
			text, err = c.post(ctx, at, raw)
		}
	}
	if err != nil {
		return nil, err
	}
	prompt, err := parseRendered(text)
	if err != nil {
		return nil, fmt.Errorf("the answer of %s: %w", endpoints[at].path, err)
	}
	return prompt, nil
}

// withModel is a body with another model; nil: it is one already, or there is none to replace.
func withModel(raw []byte, model string) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields["model"] == nil {
		return nil
	}
	name, err := json.Marshal(model)
	if err != nil || bytes.Equal(name, fields["model"]) {
		return nil
	}
	fields["model"] = name
	raw, err = json.Marshal(fields)
	if err != nil {
		return nil
	}
	return raw
}

// post asks the endpoint of that number.
func (c *Client) post(ctx context.Context, at int, raw []byte) ([]byte, error) {
	path := endpoints[at].path
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
	case response.StatusCode >= http.StatusInternalServerError && response.StatusCode != http.StatusNotImplemented:
		c.failed(ctx)
		return nil, fmt.Errorf("%s answers %s", path, response.Status)
	}
	c.failures.Store(0) // whatever it says, it is there
	if response.StatusCode == http.StatusOK {
		c.refusing.Store(false)
		return text, nil
	}
	return nil, c.refused(at, response.StatusCode, fmt.Errorf("%s answers %s: %.200s", path, response.Status, text), text)
}

// refused notes an answer without tokens that says more about the server than about the request.
func (c *Client) refused(at, status int, err error, text []byte) error {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden: // vLLM 0.32: without --enable-scale-out
		c.restUntil.Store(time.Now().Add(rest).UnixNano())
		if !c.refusing.Swap(true) {
			c.logger.Warn("the render server refuses to give tokens; prompts are estimated until it does", "url", c.base, "error", err)
		}
	case status == http.StatusNotFound && bytes.Contains(text, []byte("NotFoundError")):
		return fmt.Errorf("%w: %w", errModel, err)
	case status == http.StatusNotFound && bytes.Contains(text, []byte(`{"detail":"Not Found"}`)), status == http.StatusMethodNotAllowed,
		status == http.StatusNotImplemented:
		if c.absent[at].Swap(time.Now().Add(absence).UnixNano()) == 0 {
			c.logger.Warn("the render server has no such endpoint; prompts that would be sent there are estimated", "url", c.base, "error", err)
		}
		return fmt.Errorf("%w: %w", ErrAPI, err)
	}
	return err
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

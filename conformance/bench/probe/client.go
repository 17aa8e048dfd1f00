// Package probe asks a proxy over HTTP and judges its answers: how long until they are right, and which were wrong in what way.
//
// It must not touch the cluster; who changes the routes tells it when. Every request is bounded in time.
//
//	Target -> Client -> Answer -> judge -> Outcome (one route appears) or Tally (one route flips under load)
package probe

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// bodyLimit bounds what is read of an answer; the echo server's are about a kilobyte.
const bodyLimit = 1 << 20

// Target is one URL behind a proxy, over plain HTTP.
type Target struct {
	Address string // host:port of the proxy
	Host    string // the Host header
	Path    string
}

// Echo is what the backend says about the request that reached it: the part of the echo server's JSON that is judged.
type Echo struct {
	Path    string              `json:"path"`
	Host    string              `json:"host"`
	Headers map[string][]string `json:"headers"`
	Service string              `json:"service"`
	Pod     string              `json:"pod"`
}

// Answer is what one request got. Code is 0 when there was no complete answer; Err says why then.
type Answer struct {
	Sent, Got time.Time
	Code      int
	Header    http.Header
	Echo      Echo
	Err       error
}

// Took is the time from sending to the last byte of the answer.
func (a Answer) Took() time.Duration { return a.Got.Sub(a.Sent) }

// Client sends requests one after the other.
type Client struct {
	http      *http.Client
	transport *http.Transport
}

// NewFresh gives a client that opens a connection for every request, as a client that was not there before would.
func NewFresh(timeout time.Duration) *Client { return newClient(timeout, true) }

// NewKept gives a client that keeps its one connection as long as the proxy does.
func NewKept(timeout time.Duration) *Client { return newClient(timeout, false) }

func newClient(timeout time.Duration, fresh bool) *Client {
	transport := &http.Transport{
		DisableKeepAlives:   fresh,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 1,
		DialContext:         (&net.Dialer{Timeout: timeout}).DialContext,
	}
	return &Client{
		transport: transport,
		http: &http.Client{
			Transport:     transport,
			Timeout:       timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close gives up the kept connection.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Get always returns an Answer; what went wrong is in its Err.
func (c *Client) Get(ctx context.Context, target Target) Answer {
	answer := Answer{Sent: time.Now()}

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+target.Address+target.Path, nil)
	if err != nil {
		return failed(answer, err)
	}
	request.Host = target.Host
	response, err := c.http.Do(request)
	if err != nil {
		return failed(answer, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyLimit))
	if err != nil {
		return failed(answer, err)
	}
	answer.Code, answer.Header = response.StatusCode, response.Header
	if response.StatusCode == http.StatusOK {
		// An answer that is no echo stays without one, and the judge finds it wrong.
		_ = json.Unmarshal(body, &answer.Echo)
	}
	answer.Got = time.Now()
	return answer
}

func failed(answer Answer, err error) Answer {
	answer.Err = err
	answer.Got = time.Now()
	return answer
}

// label names the answer for the counters: the code, or what kept the answer from coming.
func label(a Answer) string {
	if a.Err == nil {
		return strconv.Itoa(a.Code)
	}
	var timeout net.Error
	switch {
	case errors.As(a.Err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(a.Err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(a.Err, syscall.ECONNRESET), errors.Is(a.Err, io.EOF), errors.Is(a.Err, io.ErrUnexpectedEOF):
		return "connection lost"
	default:
		return "error"
	}
}

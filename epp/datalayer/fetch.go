package datalayer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// place is where and how the endpoints are asked for something.
type place struct {
	scheme, path string
	port         int // 0: the endpoint's own
	accept       string
	limit        int // bytes of an answer
	timeout      time.Duration
	client       *http.Client
}

// wire is how an endpoint is asked: its request, made once, and the reader for its engine.
type wire struct {
	endpoint *Endpoint // for which they were made
	request  *http.Request
	reader   *reader // of metrics
}

// request makes the request for an endpoint.
func (p *place) request(e *Endpoint) (*http.Request, error) {
	host := e.Address
	if p.port != 0 {
		ip, _, err := net.SplitHostPort(e.Address)
		if err != nil {
			return nil, fmt.Errorf("endpoint %s: address %q: %w", e.Name, e.Address, err)
		}
		host = net.JoinHostPort(ip, strconv.Itoa(p.port))
	}
	u := url.URL{Scheme: p.scheme, Host: host, Path: p.path}
	request, err := http.NewRequest(http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", e.Name, err)
	}
	request.Header.Set("Accept", p.accept)
	request.Header.Set("User-Agent", "switchyard")
	return request, nil
}

// fetch gets an answer into buf, which it may let grow.
func (p *place) fetch(ctx context.Context, request *http.Request, buf []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	response, err := p.client.Do(request.WithContext(ctx))
	if err != nil {
		return buf[:0], err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, response.Body, 4096) // a short answer leaves the connection usable
		return buf[:0], fmt.Errorf("get %s: status %d", request.URL, response.StatusCode)
	}
	if response.ContentLength > int64(p.limit) {
		return buf[:0], fmt.Errorf("get %s: %w", request.URL, tooLarge(p.limit))
	}
	if buf, err = readAll(response.Body, buf[:0], p.limit); err != nil {
		return buf, fmt.Errorf("get %s: %w", request.URL, err)
	}
	return buf, nil
}

func tooLarge(limit int) error { return fmt.Errorf("the answer is larger than %d MiB", limit>>20) }

// readAll reads an answer of at most limit bytes into buf.
func readAll(r io.Reader, buf []byte, limit int) ([]byte, error) {
	for {
		if len(buf) > limit {
			return buf, tooLarge(limit)
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			if len(buf) > limit {
				return buf, tooLarge(limit)
			}
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// newClient makes a client for many servers, each asked by one connection that is kept. Redirects are not followed: a
// model server must not choose whom we ask.
func newClient(files TLS, timeout time.Duration, log *slog.Logger) *http.Client {
	dialer := net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}
	secure := &secureDialer{files: files, plain: dialer, timeout: timeout, log: log}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:           dialer.DialContext,
			DialTLSContext:        secure.dial,
			MaxIdleConnsPerHost:   1,
			IdleConnTimeout:       30 * time.Second,
			DisableCompression:    true, // costs more than the bytes it saves
			ResponseHeaderTimeout: timeout,
			ReadBufferSize:        16 << 10,
		},
	}
}

package datalayer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
)

var errPageTooLarge = errors.New("metrics page is larger than 4 MiB")

// wire is how an endpoint is asked: its request, made once, and the reader for its engine.
type wire struct {
	endpoint *Endpoint // for which they were made
	request  *http.Request
	reader   *reader
}

// fetcher gets and reads pages; safe for use from many goroutines.
type fetcher struct {
	opts    *Options
	client  *http.Client
	engines *engines
}

// prepare makes the wire of an endpoint, once for as long as it is described the same way.
func (f *fetcher) prepare(w *wire, e *Endpoint) error {
	if w.endpoint == e {
		return nil
	}
	host := e.Address
	if f.opts.Port != 0 {
		ip, _, err := net.SplitHostPort(e.Address)
		if err != nil {
			return fmt.Errorf("endpoint %s: address %q: %w", e.Name, e.Address, err)
		}
		host = net.JoinHostPort(ip, strconv.Itoa(f.opts.Port))
	}
	u := url.URL{Scheme: f.opts.Scheme, Host: host, Path: f.opts.Path}
	req, err := http.NewRequest(http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("endpoint %s: %w", e.Name, err)
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4")
	req.Header.Set("User-Agent", "switchyard")
	*w = wire{endpoint: e, request: req, reader: f.engines.of(e.Labels)}
	return nil
}

// fetch gets a page into buf, which it may let grow, and reads it.
func (f *fetcher) fetch(ctx context.Context, w *wire, buf []byte, p *page) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, f.opts.Timeout)
	defer cancel()
	resp, err := f.client.Do(w.request.WithContext(ctx))
	if err != nil {
		return buf, fmt.Errorf("get metrics: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, resp.Body, 4096) // a short answer leaves the connection usable
		return buf, fmt.Errorf("get metrics from %s: status %d", w.request.URL, resp.StatusCode)
	}
	if buf, err = readAll(resp.Body, buf[:0]); err != nil {
		return buf, fmt.Errorf("get metrics from %s: %w", w.request.URL, err)
	}
	w.reader.read(buf, p)
	if p.known() == 0 {
		return buf, fmt.Errorf("get metrics from %s: the page has none of the metrics of engine %s", w.request.URL, w.reader.engine.Name)
	}
	return buf, nil
}

// readAll reads a page of at most MaxPageBytes into buf.
func readAll(r io.Reader, buf []byte) ([]byte, error) {
	for {
		if len(buf) > MaxPageBytes {
			return buf, errPageTooLarge
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			if len(buf) > MaxPageBytes {
				return buf, errPageTooLarge
			}
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

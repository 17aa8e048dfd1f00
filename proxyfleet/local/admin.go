package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

var errCleanExit = errors.New("with status 0")

// pollEvery is the pause between two looks at a condition that Envoy does not report by itself.
const pollEvery = 20 * time.Millisecond

// WaitReady waits until the proxy's readiness listener answers 200: all of its first configuration is in
// place and it is not draining.
func (p *Proxy) WaitReady(ctx context.Context) error {
	for {
		if p.Ready(ctx) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to be ready: %w%s", p.Name, ctx.Err(), p.errorTail())
		case <-p.done:
			return fmt.Errorf("waiting for %s to be ready: %w", p.Name, ErrClosed)
		case <-time.After(pollEvery):
		}
	}
}

// Ready asks the readiness listener once.
func (p *Proxy) Ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", p.ReadySocket())
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://proxy/ready", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Admin is the address of the admin interface, which Envoy writes to a file when it opens it. An error says that
// it has not yet.
func (p *Proxy) Admin() (netip.AddrPort, error) {
	p.mu.Lock()
	known := p.admin
	p.mu.Unlock()
	if known.IsValid() {
		return known, nil
	}
	text, err := os.ReadFile(p.adminPathFile())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("reading the admin address of %s: %w", p.Name, err)
	}
	a, err := netip.ParseAddrPort(strings.TrimSpace(string(text)))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("reading the admin address of %s: %w", p.Name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.admin = a
	return a, nil
}

// AdminRequest sends one request to the admin interface, such as GET /stats, and gives the body of a 200.
func (p *Proxy) AdminRequest(ctx context.Context, method, path string) (string, error) {
	a, err := p.Admin()
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+a.String()+path, nil)
	if err != nil {
		return "", fmt.Errorf("asking %s: %w", p.Name, err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("asking %s: %w", p.Name, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return "", fmt.Errorf("asking %s: %w", p.Name, err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("asking %s for %s: %s", p.Name, path, resp.Status)
	}
	return string(body), nil
}

// drainRequests fails readiness, closes the listeners and waits until no request is open, the process has
// ended, or ctx is done.
func (p *Proxy) drainRequests(ctx context.Context, exited <-chan struct{}) error {
	if _, err := p.AdminRequest(ctx, http.MethodPost, "/healthcheck/fail"); err != nil {
		return err
	}
	if _, err := p.AdminRequest(ctx, http.MethodPost, "/drain_listeners?graceful&skip_exit"); err != nil {
		return err
	}
	for {
		open, err := p.openRequests(ctx)
		if err != nil {
			return err
		}
		if open == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d requests still open: %w", open, ctx.Err())
		case <-exited:
			return errCleanExit
		case <-time.After(pollEvery):
		}
	}
}

// openRequests counts the requests that listeners of the view are serving.
func (p *Proxy) openRequests(ctx context.Context) (int, error) {
	text, err := p.AdminRequest(ctx, http.MethodGet, `/stats?filter=^http\.http.*downstream_rq_active$`)
	if err != nil {
		return 0, err
	}
	open := 0
	for line := range strings.Lines(text) {
		_, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			return 0, fmt.Errorf("reading %q of %s: %w", line, p.Name, err)
		}
		open += n
	}
	return open, nil
}

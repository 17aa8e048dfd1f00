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

// idleDrain is how long connections without a request are left to their clients before they are closed.
const idleDrain = 250 * time.Millisecond

// drainRequests closes the view's listeners, fails readiness and waits until no request is open and the
// connections are closed or have been idle for idleDrain, the process has ended, or ctx is done.
//
// A proxy whose readiness fails asks its clients, with every answer, to close the connection. They connect
// anew then, which must not lead back here: a connection that waits to be accepted when its listener closes is
// reset. So the listeners go first, and the other proxies of the port take over.
func (p *Proxy) drainRequests(ctx context.Context, exited <-chan struct{}) error {
	// Inbound are the listeners of the view, not the one that answers for readiness.
	if _, err := p.AdminRequest(ctx, http.MethodPost, "/drain_listeners?inboundonly"); err != nil {
		return err
	}
	select {
	case <-time.After(pollEvery): // worker threads close them soon after
	case <-exited:
		return errCleanExit
	}
	if _, err := p.AdminRequest(ctx, http.MethodPost, "/healthcheck/fail"); err != nil {
		return err
	}
	busy := time.Now()
	for {
		requests, connections, err := p.openWork(ctx)
		if err != nil {
			return err
		}
		if requests > 0 {
			busy = time.Now()
		} else if connections == 0 || time.Since(busy) >= idleDrain {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d requests still open: %w", requests, ctx.Err())
		case <-exited:
			return errCleanExit
		case <-time.After(pollEvery):
		}
	}
}

// openWork counts the requests that listeners of the view are serving, and their connections.
func (p *Proxy) openWork(ctx context.Context) (requests, connections int, err error) {
	text, err := p.AdminRequest(ctx, http.MethodGet, `/stats?filter=^http\.http.*downstream_(rq|cx)_active$`)
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			return 0, 0, fmt.Errorf("reading %q of %s: %w", line, p.Name, err)
		}
		if strings.HasSuffix(name, "rq_active") {
			requests += n
		} else {
			connections += n
		}
	}
	return requests, connections, nil
}

package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/switchyard/switchyard/proxyfleet/drain"
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
	a, err := p.envoyAdmin()
	if err != nil {
		return "", err
	}
	return a.Request(ctx, method, path)
}

func (p *Proxy) envoyAdmin() (drain.Admin, error) {
	address, err := p.Admin()
	return drain.Admin{Address: address, Name: p.Name}, err
}

// drainRequests closes the view's listeners, fails readiness and waits until nothing is served.
func (p *Proxy) drainRequests(ctx context.Context, exited <-chan struct{}) error {
	a, err := p.envoyAdmin()
	if err != nil {
		return err
	}
	return drain.Now(ctx, a, exited)
}

// openWork counts the requests that listeners of the view are serving, and their connections.
func (p *Proxy) openWork(ctx context.Context) (requests, connections int, err error) {
	a, err := p.envoyAdmin()
	if err != nil {
		return 0, 0, err
	}
	w, err := a.OpenWork(ctx)
	return w.Requests, w.Connections, err
}

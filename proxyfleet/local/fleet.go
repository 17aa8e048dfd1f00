// Package local runs a fleet of Envoys as processes of this machine: it starts them, starts one anew that
// died, drains them at the end and leaves none behind. What they serve comes over xDS and is not its
// business.
//
//	view name, xDS address -> Fleet -> Envoy processes
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"
)

// Options describe one fleet: the proxies of one Gateway.
type Options struct {
	Envoy   string         // path of the binary
	View    string         // the Gateway's namespace/name
	XDS     netip.AddrPort // the control plane
	Dir     string         // where bootstraps and sockets go; made when absent
	Threads int            // worker threads of each proxy; default 1
	// DrainTimeout bounds how long a proxy waits for its open requests at the end; default 10 s.
	DrainTimeout time.Duration
	// AccessLog is given every line of the proxies' standard output, without its newline. It must not block
	// for long and must not keep the line. nil discards.
	AccessLog func(proxy string, line []byte)
	Log       *slog.Logger // default slog.Default()
}

// Fleet is a set of running proxies. Its methods may be called from any goroutine.
type Fleet struct {
	opts Options

	mu      sync.Mutex
	proxies []*Proxy
	made    int // proxies ever made, for names
	closed  bool
	wg      sync.WaitGroup
}

// New makes a fleet without proxies.
func New(opts Options) (*Fleet, error) {
	if opts.Threads == 0 {
		opts.Threads = 1
	}
	if opts.DrainTimeout == 0 {
		opts.DrainTimeout = 10 * time.Second
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if err := os.MkdirAll(opts.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of the fleet: %w", err)
	}
	return &Fleet{opts: opts}, nil
}

// ErrClosed is returned by Add after Stop.
var ErrClosed = errors.New("the fleet is stopped")

// Add starts one more proxy and returns at once; Proxy.WaitReady tells when it serves.
func (f *Fleet) Add() (*Proxy, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrClosed
	}
	f.made++
	p := newProxy("proxy-"+strconv.Itoa(f.made), f.opts)
	f.proxies = append(f.proxies, p)
	f.wg.Go(p.supervise)
	return p, nil
}

// Proxies lists the proxies in the order in which they were added.
func (f *Fleet) Proxies() []*Proxy {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*Proxy(nil), f.proxies...)
}

// Remove drains one proxy and waits until its process has ended.
func (f *Fleet) Remove(p *Proxy) {
	f.mu.Lock()
	for i, q := range f.proxies {
		if q == p {
			f.proxies = append(f.proxies[:i:i], f.proxies[i+1:]...)
			break
		}
	}
	f.mu.Unlock()
	p.stop()
	<-p.done
}

// WaitReady waits until every proxy serves its whole configuration.
func (f *Fleet) WaitReady(ctx context.Context) error {
	for _, p := range f.Proxies() {
		if err := p.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Stop drains every proxy and returns when all processes have ended, at most DrainTimeout and a few seconds
// later.
func (f *Fleet) Stop() {
	f.mu.Lock()
	f.closed = true
	proxies := f.proxies
	f.proxies = nil
	f.mu.Unlock()
	for _, p := range proxies {
		p.stop()
	}
	f.wg.Wait()
}

package epp

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// drainTick is how often a draining picker looks whether it has become quiet.
const drainTick = 50 * time.Millisecond

// Unready reports not ready from now on, and changes nothing else: it is the first step of Drain, for those who have
// something to do after it.
func (e *EPP) Unready() {
	e.draining.Store(true)
	e.health.changed()
}

// Linger is Unready, but whoever checks the ext_proc service by its name, as proxies do before they ask, is told to the end of the drain what was true
// before: a picker that leads is asked on as long as no other can be.
func (e *EPP) Linger() {
	e.health.linger()
	e.Unready()
}

// Drain takes the picker out of service: it reports not ready at once, goes on serving until no request has come for
// DrainQuiet or DrainTimeout is over, then refuses new streams and what still
// waits for room, and waits for the open ones. ctx bounds all of it: when it ends,
// what is still open is cut off. Every request has then released what it held.
func (e *EPP) Drain(ctx context.Context) {
	e.Unready()
	e.serveUntilQuiet(ctx)
	e.health.stop()
	e.mu.Lock()
	servers := e.servers
	e.servers = nil
	e.mu.Unlock()
	var stopping sync.WaitGroup
	for _, server := range servers {
		stopping.Go(func() { stopServer(ctx, server) })
	}
	// Only now, for who comes to a stopped flow control is refused, and who comes to a stopped server is served by proxies that fail open.
	e.flow.Load().Stop()
	stopping.Wait()
}

// serveUntilQuiet returns when no stream has been open or come for DrainQuiet, at DrainTimeout, or when ctx ends.
func (e *EPP) serveUntilQuiet(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.options.DrainTimeout)
	defer cancel()
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	opened, quietSince := e.streams.opened.Load(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if latest := e.streams.opened.Load(); latest != opened || e.streams.open.Load() > 0 {
				opened, quietSince = latest, now
			} else if quiet := e.options.DrainQuiet; quiet > 0 && now.Sub(quietSince) >= quiet {
				return
			}
		}
	}
}

// stopServer waits for the open streams, at most until ctx ends.
func stopServer(ctx context.Context, server *grpc.Server) {
	stopped := make(chan struct{})
	go func() {
		server.GracefulStop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-ctx.Done():
		server.Stop()
		<-stopped
	}
}

package epp

import (
	"context"
	"time"

	"google.golang.org/grpc"
)

// drainTick is how often a draining picker looks whether it has become quiet.
const drainTick = 50 * time.Millisecond

// Drain takes the picker out of service: it reports not ready at once, goes on serving until no request has come for a few
// seconds or DrainTimeout is over, then refuses new streams and waits for the open ones. ctx bounds all of it: when it ends,
// what is still open is cut off. Every request has then released what it held.
func (e *EPP) Drain(ctx context.Context) {
	e.draining.Store(true)
	e.health.changed()
	e.serveUntilQuiet(ctx)
	e.health.stop()
	e.mu.Lock()
	servers := e.servers
	e.servers = nil
	e.mu.Unlock()
	for _, server := range servers {
		stopServer(ctx, server)
	}
}

// serveUntilQuiet returns when no stream has been open or come for drainQuiet, at DrainTimeout, or when ctx ends.
func (e *EPP) serveUntilQuiet(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.options.DrainTimeout)
	defer cancel()
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	opened, quietSince := e.service.Opened(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if latest := e.service.Opened(); latest != opened || e.service.Streams() > 0 {
				opened, quietSince = latest, now
			} else if now.Sub(quietSince) >= drainQuiet {
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

// Package standalone makes, beside a picker, the configuration of proxies that all do one thing: send every request to one
// pool. It makes the Gateway, the route and the pool that a cluster would hold, and gives what they come to over xDS. It must
// not watch anything itself, nor pick: what the picker sees, it is told.
//
//	objects or endpoints of the picker -> Intent.objects -> internal/pipeline -> xDS -> proxies
package standalone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/internal/pipeline"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/xds"
)

// farewell bounds how long the streams of proxies may take to end.
const farewell = time.Second

// lookAgain is how often a Plane that is to hand over looks for somebody to take over.
const lookAgain = 100 * time.Millisecond

// Options of a Plane.
type Options struct {
	Intent Intent
	// Credentials are those of the xDS server; nil is plaintext. Authorize says who may have the view, with nil everybody.
	Credentials credentials.TransportCredentials
	Authorize   func(context.Context, *corev3.Node) error
	Registry    prometheus.Registerer // nil: without metrics
	Log         *slog.Logger          // default slog.Default()
}

// Plane is the control plane beside a picker. Make one with New, tell it what the picker sees, and give it a goroutine with Run.
type Plane struct {
	intent      Intent
	credentials credentials.TransportCredentials
	store       *source.Store
	pipeline    *pipeline.Pipeline
	views       *xds.Server
	over        chan struct{} // closed when proxies are handed over
	handOver    func()
}

// New makes a Plane that does nothing yet.
func New(options Options) *Plane {
	if options.Log == nil {
		options.Log = slog.Default()
	}
	p := &Plane{intent: options.Intent, credentials: options.Credentials, store: source.NewStore(), over: make(chan struct{})}
	p.handOver = sync.OnceFunc(func() { close(p.over) })
	p.views = xds.New(xds.Options{
		Authorize:   options.Authorize,
		Logger:      options.Log,
		Registerer:  options.Registry,
		OnRejection: func(r xds.Rejection) { p.pipeline.Reject(r) },
	})
	p.pipeline = pipeline.New(pipeline.Options{Store: p.store, Translate: options.Intent.translation(), Views: p.views, Log: options.Log})
	return p
}

// Follow tells what a cluster holds now. Before the pool is there for the first time, proxies are told nothing and wait, so
// that none answers for a pool that nobody knows yet.
func (p *Plane) Follow(objects *source.Objects) {
	if p.store.Latest().Objects == nil && !p.intent.knows(objects) {
		return
	}
	p.store.Put(source.Update{Objects: p.intent.objects(objects)})
}

// FollowEndpoints tells what the endpoints of the pool are now, where no cluster does.
func (p *Plane) FollowEndpoints(endpoints []datalayer.Spec) {
	p.store.Put(source.Update{Objects: p.intent.discovered(endpoints)})
}

// Ready tells whether there is a view for proxies.
func (p *Plane) Ready() bool {
	result, _ := p.pipeline.Latest()
	return result != nil && result.Output.Views[p.intent.View.String()] != nil
}

// DebugHandler shows what proxies have.
func (p *Plane) DebugHandler() http.Handler { return p.views.DebugHandler() }

// Run serves xDS until ctx ends, and closes the listener. Proxies keep what they have.
func (p *Plane) Run(ctx context.Context, l net.Listener) error {
	var secured []grpc.ServerOption
	if p.credentials != nil {
		secured = append(secured, grpc.Creds(p.credentials))
	}
	server := xds.GRPCServer(secured...)
	p.views.Register(server)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.pipeline.Run(ctx) })
	group.Go(func() error {
		if err := server.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) { // it is stopped when ctx ends before it has begun
			return fmt.Errorf("serving xDS: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		select {
		case <-ctx.Done():
		case <-p.over:
		}
		p.stop(server)
		return nil
	})
	return group.Wait()
}

// HandOver is for a picker's pod that ends, of the name self: it waits until a picker in another pod is ready, whose proxies these become: their
// streams end, and no new ones are taken. So they have what the other says as soon as it can say it, not when this one has finished its
// requests. It returns true then, and false with ctx, or at once where pickers are no pods: nobody else serves those proxies.
func (p *Plane) HandOver(ctx context.Context, self string) bool {
	if p.intent.PickerPods == nil {
		return false
	}
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for !p.intent.PickerPods.besides(self, p.store.Latest().Objects) {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	p.handOver()
	return true
}

// stop lets streams end, and cuts those that do not.
func (p *Plane) stop(server *grpc.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = p.views.Shutdown(ctx) // an error says that ctx ended first
	cut := context.AfterFunc(ctx, server.Stop)
	defer cut()
	server.GracefulStop()
}

package epp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/extproc"
	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/metrics"
	"github.com/switchyard/switchyard/epp/objective"
	"github.com/switchyard/switchyard/epp/tracing"
)

// DefaultDrainTimeout bounds how long a draining picker goes on serving.
const DefaultDrainTimeout = 30 * time.Second

// drainQuiet is how long no request may have come before a draining picker stops early, unless told otherwise: proxies of
// Switchyard check its health about once a second, so by then they know.
const drainQuiet = 3 * time.Second

// messageMargin is what a message may have beyond the body it carries: headers, attributes, metadata. Bytes.
const messageMargin = 1 << 20

// Options of an EPP. Pools is required.
type Options struct {
	Pools *datalayer.Pools
	// Rules gives the newest objectives and model rewrites, which may be nil; nil: there are none, ever.
	Rules func() *objective.Rules
	// Config is nil for the built-in default.
	Config *config.Config
	// DefaultPool ("namespace/name") is the pool of proxies that name none; empty: the only pool there is.
	DefaultPool string
	// Synced tells whether the pools are complete; nil: there is at least one pool.
	Synced func() bool
	// MaxBody bounds a request body in bytes; 0: 64 MiB.
	MaxBody int
	// AppProtocol is the application protocol that DefaultPool asks for; nil or empty: any.
	AppProtocol func() string
	// Leading tells whether this replica leads; nil: there is no leader, every replica serves.
	Leading func() bool
	// DrainTimeout is how long Drain goes on serving; 0: DefaultDrainTimeout.
	DrainTimeout time.Duration
	// DrainQuiet ends a drain before DrainTimeout when no request has come for so long; 0: 3 s; below 0: never.
	DrainQuiet time.Duration
	// WithoutHealth leaves grpc.health.v1 out of the servers of GRPCServer.
	WithoutHealth bool
	// StreamMetrics has ext_proc streams counted and timed.
	StreamMetrics bool
	// Scores has proxies told the scores of all endpoints that were rated, beside the one chosen.
	Scores bool
	// Tracer shows requests in traces; nil: they are not traced. Whoever made it ends it, after Drain.
	Tracer *tracing.Tracer
	// LegacyMetrics has Handler show the metrics under their old names, too.
	LegacyMetrics bool
	// Profiling adds /debug/pprof to Handler.
	Profiling bool
	// Registry takes the metrics and is what Handler serves; nil: one of its own.
	Registry *prometheus.Registry
	// Build is shown by the info series.
	Build  metrics.Build
	Logger *slog.Logger
}

// EPP is an endpoint picker. Safe for concurrent use.
type EPP struct {
	options Options
	series  *metrics.Metrics
	streams streams
	health  *health
	reloads *reloadMetrics

	flow    atomic.Pointer[flowcontrol.Controller] // made when a configuration first asks for it
	swapped chan struct{}                          // another generation is in force

	reloading sync.Mutex // held while a configuration is replaced
	mu        sync.Mutex
	servers   []*grpc.Server
	draining  atomic.Bool
}

// New makes a picker; it serves once its services are registered on a server.
func New(options Options) (*EPP, error) {
	if options.Pools == nil {
		return nil, errors.New("epp: no pools given")
	}
	if options.Config == nil {
		options.Config = config.Default()
	}
	if options.Rules == nil {
		options.Rules = func() *objective.Rules { return nil }
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.Registry == nil {
		options.Registry = prometheus.NewRegistry()
	}
	if options.MaxBody == 0 {
		options.MaxBody = extproc.DefaultMaxBody
	}
	if options.DrainTimeout == 0 {
		options.DrainTimeout = DefaultDrainTimeout
	}
	if options.Synced == nil {
		options.Synced = func() bool { return len(options.Pools.List()) > 0 }
	}
	if options.DrainQuiet == 0 {
		options.DrainQuiet = drainQuiet
	}
	e := &EPP{options: options, swapped: make(chan struct{}, 1)}
	if err := e.registerMetrics(); err != nil {
		return nil, fmt.Errorf("epp: registering metrics: %w", err)
	}
	e.warn(options.Config)
	first, err := e.newGeneration(options.Config)
	if err != nil {
		return nil, fmt.Errorf("epp: %w", err)
	}
	e.streams.current.Store(first)
	if err := e.watchPools(); err != nil {
		return nil, fmt.Errorf("epp: %w", err)
	}
	e.health = newHealth(e.reachable, e.ready, options.Leading != nil)
	return e, nil
}

func (e *EPP) registerMetrics() (err error) {
	registry := e.options.Registry
	if e.series, err = metrics.New(registry, e.options.Build, e.options.Pools); err != nil {
		return err
	}
	if e.reloads, err = newReloadMetrics(registry); err != nil {
		return err
	}
	if e.options.StreamMetrics {
		e.streams.metrics, err = newStreamMetrics(registry)
	}
	if err != nil {
		return err
	}
	return registry.Register(currentSeries{&e.streams})
}

// watchPools has requests that wait go on as soon as their pool has room.
func (e *EPP) watchPools() error {
	options := e.options.Pools.Options()
	before := options.Changed
	options.Changed = func(pool string) {
		if before != nil {
			before(pool)
		}
		e.flow.Load().Changed(pool)
	}
	return e.options.Pools.Reconfigure(options)
}

// Run keeps the metrics of the pools' endpoints fresh and has plugins do their own work until ctx ends.
func (e *EPP) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.runGenerations(ctx)
	}()
	err := e.options.Pools.Run(ctx)
	<-done
	return err
}

// Register adds the ext_proc service to a server made with ServerOptions.
func (e *EPP) Register(registrar grpc.ServiceRegistrar) { e.streams.register(registrar) }

// RegisterHealth adds grpc.health.v1 to a server, which may be another one than that of Register.
func (e *EPP) RegisterHealth(registrar grpc.ServiceRegistrar) { e.health.register(registrar) }

// GRPCServer makes a server with ext_proc and, unless the options say otherwise, health, which Drain stops. Options
// (credentials, for one) come on top of ServerOptions.
func (e *EPP) GRPCServer(options ...grpc.ServerOption) *grpc.Server {
	server := grpc.NewServer(append(e.ServerOptions(), options...)...)
	e.Register(server)
	if !e.options.WithoutHealth {
		e.RegisterHealth(server)
	}
	e.mu.Lock()
	e.servers = append(e.servers, server)
	e.mu.Unlock()
	return server
}

// ServerOptions are what a server of the ext_proc service needs: its codec, room for the largest body, windows that take a
// long prompt without waiting for the reader, and keepalive, so that a proxy which vanished does not hold its requests.
func (e *EPP) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(extproc.Codec()),
		grpc.MaxRecvMsgSize(e.options.MaxBody + messageMargin),
		grpc.StaticStreamWindowSize(1 << 20),
		grpc.StaticConnWindowSize(16 << 20),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	}
}

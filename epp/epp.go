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
	"github.com/switchyard/switchyard/epp/metrics"
)

// DefaultDrainTimeout bounds how long a draining picker goes on serving.
const DefaultDrainTimeout = 30 * time.Second

// drainQuiet is how long no request may have come before a draining picker stops early: proxies check its health about
// once a second, so by then they know.
const drainQuiet = 3 * time.Second

// messageMargin is what a message may have beyond the body it carries: headers, attributes, metadata. Bytes.
const messageMargin = 1 << 20

// Options of an EPP. Pools is required.
type Options struct {
	Pools *datalayer.Pools
	// Config is nil for the built-in default.
	Config *config.Config
	// DefaultPool ("namespace/name") is the pool of proxies that name none; empty: the only pool there is.
	DefaultPool string
	// Synced tells whether the pools are complete; nil: there is at least one pool.
	Synced func() bool
	// MaxBody bounds a request body in bytes; 0: 64 MiB.
	MaxBody int
	// DrainTimeout is how long Drain goes on serving; 0: DefaultDrainTimeout.
	DrainTimeout time.Duration
	// WithoutHealth leaves grpc.health.v1 out of the servers of GRPCServer.
	WithoutHealth bool
	// Registry takes the metrics and is what Handler serves; nil: one of its own.
	Registry *prometheus.Registry
	// Build is shown by the info series.
	Build  metrics.Build
	Logger *slog.Logger
}

// EPP is an endpoint picker. Safe for concurrent use.
type EPP struct {
	options Options
	service *extproc.Service
	health  *health

	mu       sync.Mutex
	servers  []*grpc.Server
	draining atomic.Bool
}

// New makes a picker; it serves once its services are registered on a server.
func New(options Options) (*EPP, error) {
	if options.Pools == nil {
		return nil, errors.New("epp: no pools given")
	}
	if options.Config == nil {
		options.Config = config.Default()
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
	series, err := metrics.New(options.Registry, options.Build, options.Pools)
	if err != nil {
		return nil, fmt.Errorf("epp: registering metrics: %w", err)
	}
	for _, warning := range options.Config.Warnings {
		options.Logger.Warn("configuration", "warning", warning)
	}
	e := &EPP{
		options: options,
		service: extproc.New(extproc.Options{
			Pools:       options.Pools,
			Config:      options.Config,
			Metrics:     series,
			DefaultPool: options.DefaultPool,
			MaxBody:     options.MaxBody,
			Logger:      options.Logger,
		}),
	}
	e.health = newHealth(e.ready)
	return e, nil
}

// Run keeps the metrics of the pools' endpoints fresh until ctx ends.
func (e *EPP) Run(ctx context.Context) error { return e.options.Pools.Run(ctx) }

// Register adds the ext_proc service to a server made with ServerOptions.
func (e *EPP) Register(registrar grpc.ServiceRegistrar) { e.service.Register(registrar) }

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

// ready tells whether proxies should send requests here.
func (e *EPP) ready() bool { return !e.draining.Load() && e.options.Synced() }

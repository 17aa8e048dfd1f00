// Package stack puts the rooms together into a running control plane: a source of objects, the pipeline, the
// xDS server, the embedded endpoint picker and the admin page, each on a listener. It has no logic of its own.
//
//	source -> pipeline -> xDS server -> proxies
//	                       \-> endpoint picker
package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/objective"
	"github.com/switchyard/switchyard/epp/tracing"
	"github.com/switchyard/switchyard/internal/pipeline"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate"
	"github.com/switchyard/switchyard/xds"
)

// Options say what to serve and where. An address with port 0 lets the kernel choose.
type Options struct {
	// Source is where objects come from.
	Source Source
	// XDS, Admin and Picker are addresses to listen on. An empty Picker means no embedded endpoint picker;
	// Pickers then says where others are.
	XDS    string
	Admin  string
	Picker string
	// Pickers are the endpoint pickers that proxies ask, when they are not this process's own.
	Pickers []netip.AddrPort
	// PickerConfig is how the embedded picker chooses; nil for the default.
	PickerConfig *config.Config
	// Tracer shows requests that the embedded picker picks for in traces; nil: they are not traced.
	Tracer *tracing.Tracer
	// Translate says how; its Envoy.Pickers are set from the above.
	Translate translate.Options
	// Credentials protect xDS, and Authorize decides which view a proxy may have. nil: plaintext, and any view.
	Credentials credentials.TransportCredentials
	Authorize   func(context.Context, *core.Node) error
	// Registry takes the metrics that /metrics shows; default a new one.
	Registry *prometheus.Registry
	// Drain bounds how long streams may go on after the end was asked for; default 5 s.
	Drain time.Duration
	Log   *slog.Logger
}

// Source fills a store with objects until ctx is done.
type Source interface {
	Run(ctx context.Context, store *source.Store) error
}

// Stack is a running control plane.
type Stack struct {
	XDSAddr   netip.AddrPort
	AdminAddr netip.AddrPort
	// PickerAddr is the zero value without an embedded picker.
	PickerAddr netip.AddrPort

	Pipeline *pipeline.Pipeline
	Views    *xds.Server
	Pools    *datalayer.Pools // nil without an embedded picker

	rules  atomic.Pointer[objective.Rules] // of the embedded picker
	opts   Options
	failed <-chan struct{}
	cancel context.CancelFunc
	group  *errgroup.Group
	xds    *grpc.Server
	picker *epp.EPP
	admin  *http.Server
}

// Start opens every listener and begins to serve. The caller calls Stop.
func Start(opts Options) (*Stack, error) {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Drain == 0 {
		opts.Drain = 5 * time.Second
	}
	s := &Stack{opts: opts}
	var listeners listenerSet
	xdsListener := listeners.open(opts.XDS, &s.XDSAddr)
	adminListener := listeners.open(opts.Admin, &s.AdminAddr)
	var pickerListener net.Listener
	if opts.Picker != "" {
		pickerListener = listeners.open(opts.Picker, &s.PickerAddr)
	}
	if listeners.err != nil {
		listeners.close()
		return nil, listeners.err
	}
	registry := opts.Registry
	if registry == nil {
		registry = prometheus.NewRegistry()
	}
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.group, ctx = errgroup.WithContext(ctx)
	s.failed = ctx.Done()
	if err := s.startPicker(ctx, pickerListener, registry); err != nil {
		cancel()
		listeners.close()
		return nil, err
	}
	s.startViews(ctx, xdsListener, registry)
	s.startAdmin(adminListener, registry)
	return s, nil
}

// startPicker starts the embedded endpoint picker, if there is one, and settles what proxies are told to ask.
func (s *Stack) startPicker(ctx context.Context, l net.Listener, registry *prometheus.Registry) error {
	s.opts.Translate.Envoy.Pickers = s.opts.Pickers
	if l == nil {
		return nil
	}
	if len(s.opts.Pickers) == 0 {
		s.opts.Translate.Envoy.Pickers = []netip.AddrPort{s.PickerAddr}
	}
	cfg := s.opts.PickerConfig
	if cfg == nil {
		cfg = config.Default()
	}
	scrape := datalayer.Options{Logger: s.opts.Log}
	cfg.Apply(&scrape)
	s.Pools = datalayer.New(scrape)
	picker, err := epp.New(epp.Options{Pools: s.Pools, Rules: s.rules.Load, Tracer: s.opts.Tracer, Config: cfg, Logger: s.opts.Log, Registry: registry, DrainTimeout: s.opts.Drain})
	if err != nil {
		return fmt.Errorf("starting the endpoint picker: %w", err)
	}
	s.picker = picker
	server := picker.GRPCServer()
	s.group.Go(func() error { return server.Serve(l) })
	s.group.Go(func() error { return picker.Run(ctx) })
	return nil
}

// startViews starts what leads from objects to proxies.
func (s *Stack) startViews(ctx context.Context, l net.Listener, registry *prometheus.Registry) {
	store := source.NewStore()
	s.Views = xds.New(xds.Options{
		Logger:      s.opts.Log,
		Registerer:  registry,
		Authorize:   s.opts.Authorize,
		OnRejection: func(r xds.Rejection) { s.Pipeline.Reject(r) },
	})
	opts := pipeline.Options{Store: store, Translate: s.opts.Translate, Views: s.Views, Log: s.opts.Log}
	if s.Pools != nil {
		opts.Pools, opts.Rules = s.Pools, &s.rules
	}
	s.Pipeline = pipeline.New(opts)
	var protection []grpc.ServerOption
	if s.opts.Credentials != nil {
		protection = append(protection, grpc.Creds(s.opts.Credentials))
	}
	s.xds = xds.GRPCServer(protection...)
	s.Views.Register(s.xds)
	s.group.Go(func() error { return s.opts.Source.Run(ctx, store) })
	s.group.Go(func() error { return s.Pipeline.Run(ctx) })
	s.group.Go(func() error { return s.xds.Serve(l) })
}

func (s *Stack) startAdmin(l net.Listener, registry *prometheus.Registry) {
	mux := http.NewServeMux()
	mux.Handle("GET /debug/xds", s.Views.DebugHandler())
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", s.serveReady)
	if s.picker != nil {
		mux.Handle("GET /debug/epp", s.picker.Handler())
	}
	s.admin = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	s.group.Go(func() error {
		if err := s.admin.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
}

// serveReady answers 200 once the first complete view has been compiled.
func (s *Stack) serveReady(w http.ResponseWriter, _ *http.Request) {
	if result, _ := s.Pipeline.Latest(); result == nil {
		http.Error(w, "the first view is not compiled yet", http.StatusServiceUnavailable)
	}
}

// Failed is closed when a part has ended before Stop was called; Stop then says why.
func (s *Stack) Failed() <-chan struct{} { return s.failed }

// WaitResult waits for the first result of the pipeline.
func (s *Stack) WaitResult(ctx context.Context) (*pipeline.Result, error) {
	for {
		result, changed := s.Pipeline.Latest()
		if result != nil {
			return result, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the first view: %w", ctx.Err())
		}
	}
}

// Stop ends everything in order: the picker drains, the xDS streams close, the rest follows. It returns the
// first error that any part ended with.
func (s *Stack) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.Drain)
	defer cancel()
	if s.picker != nil {
		s.picker.Drain(ctx)
	}
	_ = s.Views.Shutdown(ctx) // an error says that ctx ended first; Stop closes what is left
	stopRPC(ctx, s.xds)
	_ = s.admin.Close()
	s.cancel()
	return s.group.Wait()
}

// stopRPC lets streams end until ctx is done, then cuts them.
func stopRPC(ctx context.Context, server *grpc.Server) {
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	server.GracefulStop()
}

// listenerSet opens listeners and remembers the first error.
type listenerSet struct {
	opened []net.Listener
	err    error
}

func (ls *listenerSet) open(address string, got *netip.AddrPort) net.Listener {
	if ls.err != nil {
		return nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		ls.err = fmt.Errorf("listening on %s: %w", address, err)
		return nil
	}
	*got = l.Addr().(*net.TCPAddr).AddrPort()
	ls.opened = append(ls.opened, l)
	return l
}

func (ls *listenerSet) close() {
	for _, l := range ls.opened {
		_ = l.Close()
	}
}

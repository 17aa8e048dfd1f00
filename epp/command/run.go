package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"k8s.io/client-go/rest"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/metrics"
	"github.com/switchyard/switchyard/epp/objective"
	"github.com/switchyard/switchyard/epp/tracing"
	"github.com/switchyard/switchyard/internal/pipeline"
	"github.com/switchyard/switchyard/internal/source"
)

// pickerProcess is a picker with what it needs around it.
type pickerProcess struct {
	flags   *pickerFlags
	log     *slog.Logger
	config  compiledConfig
	cluster *rest.Config // nil without one
	objects objectSource // nil when a file tells of endpoints
	store   *source.Store
	proxies *beside // nil without proxies of its own
	pools   *datalayer.Pools
	loop    *pipeline.Pipeline              // nil when a selector or a file makes the pool
	rules   atomic.Pointer[objective.Rules] // holds none when a selector or a file makes the pool
	found   *discoveredPool                 // nil unless a file makes the pool
	lease   *leadership                     // nil without leader election
	reports *ruleStatuses                   // nil without objectives and rewrites of a cluster
	watcher datalayer.Watcher               // of objects that plugins ask for; nil without a cluster
	picker  *epp.EPP

	registry *prometheus.Registry
	build    metrics.Build
	tracer   *tracing.Tracer // nil when nobody asks for traces
}

// runPicker serves until the command's context ends, then drains.
func runPicker(cmd *cobra.Command, flags *pickerFlags, config compiledConfig, options Options) error {
	log, err := flags.log.open(cmd)
	if err != nil {
		return err
	}
	traces := flags.exportTraces(options.Version, log)
	defer traces.Stop()
	p := &pickerProcess{flags: flags, log: log, config: config, registry: prometheus.NewRegistry(),
		build: metrics.Build{Commit: options.Commit, Ref: options.Version}, tracer: traces.Tracer()}
	p.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := p.prepare(); err != nil {
		return err
	}
	return p.serve(cmd.Context())
}

// prepare makes all parts and starts none.
func (p *pickerProcess) prepare() (err error) {
	f := p.flags
	if p.cluster, err = f.cluster(p.log); err != nil {
		return err
	}
	scrape := f.scrape.options(p.log)
	p.config.Apply(&scrape)
	if err := scrape.Check(); err != nil {
		return fmt.Errorf("configuration: dataLayer: %w", err)
	}
	p.watcher = p.newObjectWatcher()
	p.config.Watch(p.watcher)
	p.pools = datalayer.New(scrape)
	p.store = source.NewStore()
	if p.proxies, err = p.newBeside(); err != nil {
		return err
	}
	if f.pool.discovers() {
		if p.found, err = discoverPool(p.config.Config, f.pool.key(), p.proxies.before(p.pools), p.registry, p.log); err != nil {
			return err
		}
	} else if p.objects, err = f.objects(p.cluster, p.log); err != nil {
		return err
	}
	if f.pool.selector == "" && p.found == nil {
		p.loop = pipeline.New(pipeline.Options{Store: p.store, Pools: f.followed(p.pools), Rules: &p.rules, Log: p.log})
	}
	if f.leaderElection {
		if p.lease, err = p.newLease(); err != nil {
			return err
		}
	}
	if p.reports, err = p.newRuleStatuses(); err != nil {
		return err
	}
	if p.picker, err = epp.New(p.pickerOptions()); err != nil {
		return err
	}
	if p.lease != nil {
		p.lease.changed = p.picker.LeadershipChanged
	}
	return nil
}

func (p *pickerProcess) pickerOptions() epp.Options {
	f := p.flags
	options := epp.Options{
		Pools: p.pools, Rules: p.rules.Load, Config: p.config.Config, DefaultPool: f.pool.key(), Synced: p.proxies.also(f.synced(p.pools)), AppProtocol: p.appProtocol,
		// 0 is as good as no time at all, not the default.
		DrainTimeout: max(f.drain, time.Nanosecond), WithoutHealth: !f.healthChecking, StreamMetrics: f.rpc.metrics, LegacyMetrics: f.page.legacy,
		Profiling: f.page.profiling, Scores: f.config.emitScores, Tracer: p.tracer, Registry: p.registry, Build: p.build, Logger: p.log,
	}
	if p.lease != nil {
		options.Leading = p.lease.held.Load
	}
	if f.manifests == "" {
		// Proxies of others look up the picker in DNS or EndpointSlices: only the user knows how long that takes.
		options.DrainQuiet = -1
	}
	return options
}

// appProtocol is what the servers of the pool speak, empty when it does not say.
func (p *pickerProcess) appProtocol() string {
	if p.loop == nil {
		return p.flags.pool.protocol
	}
	result, _ := p.loop.Latest()
	namespace, name, named := strings.Cut(p.flags.pool.key(), "/")
	if result == nil || !named {
		return ""
	}
	pool, ok := result.Objects.InferencePools.Get(namespace, name)
	if !ok {
		return ""
	}
	return string(pool.Spec.AppProtocol)
}

// serve runs all parts until ctx ends or one of them fails.
func (p *pickerProcess) serve(ctx context.Context) error {
	security, err := p.flags.security(p.log)
	if err != nil {
		return err
	}
	messages, err := p.flags.rpc.options()
	if err != nil {
		return err
	}
	listeners, err := p.flags.listen()
	if err != nil {
		return err
	}
	if err := p.proxies.listen(p.flags.proxy.xds); err != nil {
		closeAll(listeners)
		return err
	}
	page, servePage, err := p.flags.servePages(p.proxies.pages(p.picker.Handler()), listeners[2], p.cluster, p.log)
	if err != nil {
		closeAll(append(listeners, p.proxies.listeners()...))
		return err
	}
	health := grpc.NewServer()
	p.picker.RegisterHealth(health)
	rpc := p.picker.GRPCServer(append(security, messages...)...)

	background, cancel := context.WithCancel(context.Background())
	defer cancel()
	group, background := errgroup.WithContext(background)
	p.start(group, background)
	endLease := p.startLease(background)
	group.Go(func() error { return rpc.Serve(listeners[0]) })
	group.Go(func() error { return health.Serve(listeners[1]) })
	group.Go(func() error {
		if err := servePage(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	p.log.Info("picking", "ext_proc", listeners[0].Addr().String(), "tls", p.flags.secureServing,
		"health", listeners[1].Addr().String(), "metrics", listeners[2].Addr().String(), "pool", p.flags.pool.key())
	p.proxies.announce(p.log)
	select {
	case <-ctx.Done():
	case <-background.Done():
	}
	p.log.Info("draining", "within", p.flags.drain)
	// Not ready first, so that nobody is sent here who would find another leader; then the lease, so that there is one soon. Our own proxies are told
	// where that one is. Until it is ready they ask here, and get their configuration here, at most to the end of the drain.
	if p.proxies.followPickers() {
		p.picker.Linger()
	} else {
		p.picker.Unready()
	}
	endLease()
	group.Go(func() error { p.proxies.handOver(background, p.log); return nil })
	p.picker.Drain(background)
	health.Stop()
	_ = page.Close()
	cancel()
	return group.Wait()
}

// start runs what keeps the picker informed.
func (p *pickerProcess) start(group *errgroup.Group, ctx context.Context) {
	group.Go(func() error { return p.picker.Run(ctx) })
	group.Go(func() error { p.flags.config.follow(ctx, p.picker, p.config.text, p.watcher, p.log); return nil })
	if p.proxies != nil {
		group.Go(func() error { return p.proxies.run(ctx) })
	}
	if p.found != nil {
		group.Go(func() error { p.found.follow(ctx); return nil })
		return
	}
	group.Go(func() error { return p.objects.Run(ctx, p.proxies.first(p.store)) })
	if p.loop == nil {
		group.Go(func() error { return p.selectPods(ctx) })
		return
	}
	group.Go(func() error { return p.loop.Run(ctx) })
	group.Go(func() error { p.flags.missPool(ctx, p.loop, p.pools, p.log); return nil })
	group.Go(func() error { return p.reports.run(ctx, p.loop, p.lease) })
}

func (p *pickerProcess) selectPods(ctx context.Context) error {
	selector, err := p.flags.pool.labels()
	if err != nil {
		return err
	}
	pods := selectedPods{key: p.flags.pool.key(), namespace: p.flags.pool.inNamespace(), selector: selector,
		ports: p.flags.pool.ports, store: p.store, pools: p.pools}
	pods.run(ctx)
	return nil
}

// synced tells whether the named pool is known, or any when none is named.
func (f *pickerFlags) synced(pools *datalayer.Pools) func() bool {
	key := f.pool.key()
	if key == "" {
		return nil
	}
	return func() bool {
		_, known := pools.Get(key)
		return known
	}
}

// missPool tells the log when there is no pool of the name given, and when it has come.
func (f *pickerFlags) missPool(ctx context.Context, loop *pipeline.Pipeline, pools *datalayer.Pools, log *slog.Logger) {
	key := f.pool.key()
	if key == "" {
		return
	}
	missed := false
	for {
		result, changed := loop.Latest()
		_, known := pools.Get(key)
		switch {
		case result == nil:
		case !known && !missed:
			missed = true
			log.Warn("not ready: there is no InferencePool of this name; create it, or correct --pool-name and --pool-namespace", "pool", key)
		case known && missed:
			missed = false
			log.Info("the InferencePool is there", "pool", key)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

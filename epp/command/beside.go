package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"

	"golang.org/x/sync/errgroup"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/standalone"
)

// beside is the control plane beside the picker. nil is a picker without one: its methods then change nothing.
type beside struct {
	plane     *standalone.Plane
	intent    standalone.Intent
	admission admission
	// objects are what the picker's source has seen: proxies are told first, so that they know whom the picker names.
	objects, picker *source.Store
	xds             net.Listener
}

// newBeside makes what the flags of proxies ask for, nil when they ask for nothing.
func (p *pickerProcess) newBeside() (*beside, error) {
	if p.flags.proxy.xds == "" {
		return nil, nil
	}
	intent, err := p.flags.intent()
	if err != nil {
		return nil, err
	}
	admission, err := p.flags.proxy.admission.open(intent.View, p.cluster, p.log)
	if err != nil {
		return nil, err
	}
	plane := standalone.New(standalone.Options{Intent: intent, Credentials: admission.credentials, Authorize: admission.authorize,
		Registry: p.registry, Log: p.log})
	return &beside{plane: plane, intent: intent, admission: admission, objects: source.NewStore(), picker: p.store}, nil
}

// intent is what the proxies are to be.
func (f *pickerFlags) intent() (standalone.Intent, error) {
	view, viewErr := f.proxy.parseView()
	listen, listenErr := f.proxy.parseListen()
	pickers, pickersErr := f.proxy.parsePickers()
	out := standalone.Intent{
		View: view, Listen: listen, FailOpen: f.proxy.failOpen, Pickers: pickers, PickerTLS: f.secureServing,
		SpreadPickers: f.proxy.spread,
		Pool:          source.Key{Namespace: f.pool.inNamespace(), Name: f.pool.named()},
	}
	wrong := errors.Join(viewErr, listenErr, pickersErr)
	if f.pool.selector != "" || f.pool.discovers() {
		out.Made = &standalone.MadePool{Ports: f.pool.ports, AppProtocol: infv1.AppProtocol(f.pool.protocol)}
	}
	if f.pool.selector != "" {
		selector, err := f.pool.labels()
		wrong = errors.Join(wrong, err)
		out.Made.Pods = selector
	}
	if f.proxy.selector != "" {
		selector, err := f.proxy.parseSelector()
		wrong = errors.Join(wrong, err)
		out.PickerPods = &standalone.PickerPods{Namespace: f.pool.inNamespace(), Labels: selector, Port: f.grpcPort}
	}
	return out, wrong
}

// also is ready where the picker is, proxies are let in, and there is something to tell them.
func (b *beside) also(synced func() bool) func() bool {
	if b == nil {
		return synced
	}
	return func() bool { return synced() && b.plane.Ready() && b.admission.ready() }
}

// first is where a source is to put its objects, on their way to the picker's store.
func (b *beside) first(picker *source.Store) *source.Store {
	if b == nil {
		return picker
	}
	return b.objects
}

// before tells proxies of endpoints before the pool has them.
func (b *beside) before(pools endpointTaker) endpointTaker {
	if b == nil {
		return pools
	}
	return proxiesFirst{plane: b.plane, pools: pools}
}

type proxiesFirst struct {
	plane *standalone.Plane
	pools endpointTaker
}

// Set implements endpointTaker.
func (p proxiesFirst) Set(key string, specs []datalayer.Spec) {
	p.plane.FollowEndpoints(specs)
	p.pools.Set(key, specs)
}

func (b *beside) listen(address string) (err error) {
	if b == nil {
		return nil
	}
	if b.xds, err = net.Listen("tcp", address); err != nil {
		return fmt.Errorf("--%s: %w", proxyFlag, err)
	}
	return nil
}

func (b *beside) listeners() []net.Listener {
	if b == nil {
		return nil
	}
	return []net.Listener{b.xds}
}

// pages adds what proxies have to the picker's pages.
func (b *beside) pages(picker http.Handler) http.Handler {
	if b == nil {
		return picker
	}
	mux := http.NewServeMux()
	mux.Handle("GET /debug/xds", b.plane.DebugHandler())
	mux.Handle("/", picker)
	return mux
}

func (b *beside) announce(log *slog.Logger) {
	if b != nil {
		log.Info("serving proxies", "xds", b.xds.Addr().String(), "view", b.intent.View.String(), "listen", b.intent.Listen.String(),
			"failOpen", b.intent.FailOpen, "tls", b.admission.credentials != nil)
	}
}

// run serves proxies until ctx ends.
func (b *beside) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.plane.Run(ctx, b.xds) })
	group.Go(func() error { return b.admission.keep(ctx) })
	group.Go(func() error { b.pass(ctx); return nil })
	return group.Wait()
}

// followPickers tells whether proxies hear of each picker that comes and goes.
func (b *beside) followPickers() bool { return b != nil && b.intent.PickerPods != nil }

// handOver leaves the proxies to another picker's pod, as soon as there is one, while this one finishes its requests. A process that does not know
// the name of its pod cannot tell others from itself, and keeps them.
func (b *beside) handOver(ctx context.Context, log *slog.Logger) {
	if self := os.Getenv("POD_NAME"); b != nil && self != "" && b.plane.HandOver(ctx, self) {
		log.Info("another picker tells proxies what to do from here on")
	}
}

// pass hands on what the source sees.
func (b *beside) pass(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.objects.Changed():
		}
		update := b.objects.Latest()
		if update.Objects == nil {
			continue
		}
		b.plane.Follow(update.Objects)
		b.picker.Put(update)
	}
}

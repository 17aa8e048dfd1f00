package kubernetes

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/internal/identity"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// Options configure a Reconciler.
type Options struct {
	// Client reads and writes the objects of fleets. Its reads should not be cached: they are few, and only
	// made before a write. Its scheme must know the kinds of a fleet.
	Client client.Client
	// Config reaches the API server for watching what was applied; nil does not watch, so that what others change
	// or delete is mended only when the Gateway changes.
	Config *rest.Config
	// Namespaces are the only ones watched; empty means all.
	Namespaces []string
	// Controller is the controllerName of GatewayClasses that are ours.
	Controller string
	// CA gives the authority that signs now; it must not block for long.
	CA func() *identity.CA
	// Image is the control plane's own; ProxyImage is the Envoy of fleets that name no other.
	Image      string
	ProxyImage string
	// XDSHost and XDSPort are the control plane's Service: a name that its certificate carries, and a port.
	XDSHost string
	XDSPort uint16
	// Events tells of failures on the Gateways that have them; nil tells in the log alone.
	Events     events.EventRecorder
	Log        *slog.Logger          // default slog.Default()
	Registerer prometheus.Registerer // nil: metrics are not registered
	Clock      clock.WithTicker      // default: the wall clock
}

// Reconciler makes the cluster hold the fleets that are wanted. Want may be called from any goroutine, Run by one
// at a time.
type Reconciler struct {
	opts    Options
	metrics *metrics

	mu     sync.Mutex
	latest *request
	news   chan struct{} // holds one element when latest is news
}

// request is one call of Want.
type request struct {
	gateways []*model.Gateway
	objects  *source.Objects
}

// New makes a Reconciler that wants nothing yet.
func New(opts Options) (*Reconciler, error) {
	if opts.Client == nil || opts.CA == nil {
		return nil, fmt.Errorf("a reconciler of fleets needs a client and a CA")
	}
	if opts.Image == "" || opts.XDSHost == "" || opts.XDSPort == 0 || opts.Controller == "" {
		return nil, fmt.Errorf("a reconciler of fleets needs the control plane's image %q, the host %q and port %d of xDS, and a controller name %q",
			opts.Image, opts.XDSHost, opts.XDSPort, opts.Controller)
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	return &Reconciler{opts: opts, metrics: newMetrics(opts.Registerer), news: make(chan struct{}, 1)}, nil
}

// Want says which fleets there are to be: those of gateways, in a cluster that holds objects. Gateways that exist,
// are of a class of ours and are not among gateways keep the fleet that they have. It does not block; only the
// last call counts. Nobody may change what is passed.
func (r *Reconciler) Want(gateways []*model.Gateway, objects *source.Objects) {
	r.mu.Lock()
	r.latest = &request{gateways, objects}
	r.mu.Unlock()
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// wish gives the last call of Want, nil before the first.
func (r *Reconciler) wish() *request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest
}

// Run keeps the fleets until ctx is done; only one replica of the control plane may run it. It begins by
// comparing every fleet with the cluster. An error means that it could not begin.
func (r *Reconciler) Run(ctx context.Context) error {
	t := newTerm(r)
	return t.run(ctx)
}

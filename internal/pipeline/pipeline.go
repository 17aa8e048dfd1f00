// Package pipeline is the loop that keeps proxies and picker in step with the objects: it takes the newest
// objects from the store, translates them, hands views to the xDS server and pools to the endpoint picker,
// and takes back what proxies refuse. It decides nothing about what objects mean.
//
//	source.Store -> translate.Compile -> xds views, picker pools, statuses
//	xds.Rejection -> quarantine -> translate.Compile
package pipeline

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate"
	"github.com/switchyard/switchyard/translate/envoy"
	"github.com/switchyard/switchyard/translate/gatewayapi"
	"github.com/switchyard/switchyard/translate/resource"
	"github.com/switchyard/switchyard/xds"
)

// Views takes what proxies are to be given.
type Views interface {
	SetView(*resource.View)
	RemoveView(name string)
}

// Pools takes what the picker chooses from.
type Pools interface {
	Set(key string, specs []datalayer.Spec)
	Delete(key string)
}

// Options wire a Pipeline to its neighbours. Views and Pools may be nil.
type Options struct {
	Store     *source.Store
	Translate envoy.Options
	Views     Views
	Pools     Pools
	Log       *slog.Logger // default slog.Default()
	// Settle is how long objects are left alone after a rejection before a suspect among several is tried
	// again; default 1 s.
	Settle time.Duration
}

// Result is what the objects came to at one moment.
type Result struct {
	// Objects are as the user wrote them, Output is what is served: without what proxies refused.
	Objects  *source.Objects
	Problems []source.Problem
	Output   *translate.Output
	// Statuses are those of Objects, refusals included.
	Statuses gatewayapi.Statuses
}

// Pipeline is the loop. Make one with New and give it a goroutine with Run.
type Pipeline struct {
	opts       Options
	quarantine *quarantine
	rejected   chan xds.Rejection

	served      map[string]bool // view names handed out
	poolsServed map[string]bool

	mu      sync.Mutex
	latest  *Result
	changed chan struct{} // closed and replaced with every new Result
}

// New makes a pipeline that does nothing yet.
func New(opts Options) *Pipeline {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Settle == 0 {
		opts.Settle = time.Second
	}
	return &Pipeline{
		opts:        opts,
		quarantine:  newQuarantine(),
		rejected:    make(chan xds.Rejection, 64),
		served:      map[string]bool{},
		poolsServed: map[string]bool{},
		changed:     make(chan struct{}),
	}
}

// Reject reports that a proxy refused a resource. It does not block; when many come at once the rest is
// dropped, for the proxies will say it again when they are sent the same thing.
func (p *Pipeline) Reject(r xds.Rejection) {
	select {
	case p.rejected <- r:
	default:
	}
}

// Latest gives the newest result and a channel that is closed when there is a newer one. The result is nil
// before the first.
func (p *Pipeline) Latest() (*Result, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest, p.changed
}

// Run works until ctx is done.
func (p *Pipeline) Run(ctx context.Context) error {
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.opts.Store.Changed():
			p.compile()
		case r := <-p.rejected:
			if p.quarantine.reject(r) {
				p.opts.Log.Error("proxies refused a resource; its object is set aside",
					"resource", r.Resource.Name, "view", r.View, "proxy", r.Node, "error", r.Error)
				p.compile()
			}
		case <-retry.C:
			if p.quarantine.releaseSuspect() {
				p.compile()
			}
		}
		if p.quarantine.unsure() {
			retry.Reset(p.opts.Settle)
		}
	}
}

// compile brings everybody up to date with the newest objects.
func (p *Pipeline) compile() {
	update := p.opts.Store.Latest()
	if update.Objects == nil {
		return
	}
	served := p.quarantine.substitute(update.Objects)
	output, err := translate.Compile(served, p.opts.Translate)
	if err != nil {
		p.opts.Log.Error("translation failed; what was served before goes on", "error", err)
		return
	}
	statuses := output.Statuses
	if served != update.Objects {
		statuses = gatewayapi.Build(update.Objects).Statuses
		p.quarantine.overlay(&statuses)
	}
	p.quarantine.remember(served, output)
	p.serve(output)
	p.setPools(update.Objects)
	p.publish(&Result{Objects: update.Objects, Problems: update.Problems, Output: output, Statuses: statuses})
}

func (p *Pipeline) serve(output *translate.Output) {
	if p.opts.Views == nil {
		return
	}
	for name, view := range output.Views {
		p.served[name] = true
		p.opts.Views.SetView(view)
	}
	for name := range p.served {
		if output.Views[name] == nil {
			delete(p.served, name)
			p.opts.Views.RemoveView(name)
		}
	}
}

// setPools tells the picker of every pool there is, used by a route or not: other gateways may ask for it.
func (p *Pipeline) setPools(objects *source.Objects) {
	if p.opts.Pools == nil {
		return
	}
	seen := map[string]bool{}
	for pool := range objects.InferencePools.All() {
		key := source.KeyOf(pool).String()
		seen[key] = true
		p.poolsServed[key] = true
		p.opts.Pools.Set(key, poolSpecs(objects.PoolEndpoints(pool)))
	}
	for key := range p.poolsServed {
		if !seen[key] {
			delete(p.poolsServed, key)
			p.opts.Pools.Delete(key)
		}
	}
}

func poolSpecs(endpoints []source.PoolEndpoint) []datalayer.Spec {
	specs := make([]datalayer.Spec, 0, len(endpoints))
	for _, e := range endpoints {
		specs = append(specs, datalayer.Spec{
			Name:      e.Name(),
			Namespace: e.Pod.Namespace,
			Pod:       e.Pod.Name,
			Rank:      e.Rank,
			Address:   e.Address.String(),
			Labels:    e.Labels,
		})
	}
	return specs
}

func (p *Pipeline) publish(r *Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest = r
	close(p.changed)
	p.changed = make(chan struct{})
}

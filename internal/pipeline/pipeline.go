// Package pipeline is the loop that keeps proxies and picker in step with the objects: it takes the newest
// objects from the store, translates them, hands views to the xDS server, pools and rules to the endpoint picker,
// and takes back what proxies refuse. It decides nothing about what objects mean.
//
//	source.Store -> translate.Compile -> xds views, picker pools and rules, statuses
//	xds.Rejection -> quarantine -> translate.Compile
package pipeline

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/objective"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate"
	"github.com/switchyard/switchyard/translate/gatewayapi"
	"github.com/switchyard/switchyard/translate/resource"
	"github.com/switchyard/switchyard/xds"
)

// Views takes what proxies are to be given, and tells what they said to it.
type Views interface {
	SetView(*resource.View)
	RemoveView(name string)
	Answers(view string, id resource.ID, version string) xds.Answers
}

// Pools takes what the picker chooses from.
type Pools interface {
	Set(key string, specs []datalayer.Spec)
	Delete(key string)
}

// Options wire a Pipeline to its neighbours. Views and Pools may be nil.
type Options struct {
	Store     *source.Store
	Translate translate.Options
	Views     Views
	Pools     Pools
	// Rules is where the newest objectives and model rewrites go, for requests to be read by; may be nil.
	Rules *atomic.Pointer[objective.Rules]
	Log   *slog.Logger // default slog.Default()
	// Patience is how long proxies that do not answer are waited for, when others have accepted a version,
	// before suspects of a rejection are tried again; default 1 s.
	Patience time.Duration
}

// Result is what the objects came to at one moment.
type Result struct {
	// Objects are as the user wrote them, Output is what is served: without what proxies refused.
	Objects  *source.Objects
	Problems []source.Problem
	Output   *translate.Output
	// Statuses are those of Objects, with what proxies refused.
	Statuses gatewayapi.Statuses
}

// Pipeline is the loop. Make one with New and give it a goroutine with Run.
type Pipeline struct {
	opts       Options
	quarantine *quarantine

	mu       sync.Mutex
	latest   *Result
	changed  chan struct{} // closed and replaced with every new Result
	rejected map[place]xds.Rejection
	refusals chan struct{} // wakes Run when rejected is not empty

	served      map[string]bool // view names handed out
	ruled       *source.Objects // what Options.Rules were made from
	poolsServed map[string]bool
}

// retryEvery is the pause between two looks at whether suspects of a rejection can be tried again.
const retryEvery = 50 * time.Millisecond

// New makes a pipeline that does nothing yet.
func New(opts Options) *Pipeline {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Patience == 0 {
		opts.Patience = time.Second
	}
	p := &Pipeline{
		opts:        opts,
		changed:     make(chan struct{}),
		rejected:    map[place]xds.Rejection{},
		refusals:    make(chan struct{}, 1),
		served:      map[string]bool{},
		poolsServed: map[string]bool{},
	}
	p.quarantine = newQuarantine(p.answers, opts.Patience)
	return p
}

// answers asks what proxies have said to a version of a resource.
func (p *Pipeline) answers(at place, version string) xds.Answers {
	if p.opts.Views == nil {
		return xds.Answers{}
	}
	return p.opts.Views.Answers(at.view, at.id, version)
}

// Reject reports that a proxy refused a resource. It does not block. A fleet says the same thing many times:
// of each resource only the newest word is kept until Run looks at it.
func (p *Pipeline) Reject(r xds.Rejection) {
	p.mu.Lock()
	p.rejected[place{view: r.View, id: r.Resource}] = r
	p.mu.Unlock()
	select {
	case p.refusals <- struct{}{}:
	default:
	}
}

// takeRejected empties what Reject has gathered.
func (p *Pipeline) takeRejected() map[place]xds.Rejection {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.rejected
	p.rejected = map[place]xds.Rejection{}
	return out
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
	var retry <-chan time.Time
	for {
		if retry == nil && p.quarantine.unsure() {
			retry = time.After(retryEvery)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.opts.Store.Changed():
			p.compile()
		case <-p.refusals:
			p.setAside()
		case <-retry:
			retry = nil
			if p.quarantine.releaseSuspects() {
				p.compile()
			}
		}
	}
}

// setAside takes in what proxies refused.
func (p *Pipeline) setAside() {
	changed := false
	for _, r := range p.takeRejected() {
		aside, news := p.quarantine.reject(r)
		if !news {
			continue
		}
		changed = true
		p.opts.Log.Error("proxies refuse a resource and keep what they had", "resource", r.Resource.Name,
			"view", r.View, "proxy", r.Node, "error", r.Error, "setAside", aside)
	}
	for changed {
		p.compile()
		changed = p.quarantine.blameMore()
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
		statuses = gatewayapi.Build(update.Objects, p.opts.Translate.Objects).Statuses
	}
	p.quarantine.remember(served, output)
	p.quarantine.overlay(&statuses)
	p.serve(output)
	p.setRules(update.Objects) // before a new pool is asked for
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
		p.opts.Pools.Set(key, Specs(objects.PoolEndpoints(pool)))
	}
	for key := range p.poolsServed {
		if !seen[key] {
			delete(p.poolsServed, key)
			p.opts.Pools.Delete(key)
		}
	}
}

// Specs are endpoints as a picker knows them.
func Specs(endpoints []source.PoolEndpoint) []datalayer.Spec {
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

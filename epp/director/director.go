package director

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/metrics"
	"github.com/switchyard/switchyard/epp/objective"
	"github.com/switchyard/switchyard/epp/prefix"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/tracing"
)

// Options of a Director. Pools, Config and Metrics are required.
type Options struct {
	Pools   *datalayer.Pools
	Config  *config.Config
	Metrics *metrics.Metrics
	// Rules gives the objectives and model rewrites in force; nil: there are none.
	Rules func() *objective.Rules
	// Flow holds requests back while their pool is full; nil: requests below priority 0 are refused then, others go on.
	Flow *flowcontrol.Controller
	// Scores has decisions tell the scores of all endpoints that were rated.
	Scores bool
	// Tracer shows requests in traces; nil: they are not traced.
	Tracer *tracing.Tracer
}

// Director decides. Safe for concurrent use.
type Director struct {
	options Options
	states  sync.Map // *datalayer.Pool -> *Pool
	timings *timings
	// kept is the rules whose models metrics have been told of.
	kept atomic.Pointer[objective.Rules]
}

// New makes a director.
func New(options Options) *Director {
	if options.Rules == nil {
		options.Rules = func() *objective.Rules { return nil }
	}
	return &Director{options: options, timings: newTimings(options.Config, options.Metrics)}
}

// rules are those in force. Models that they name keep their names in metrics.
func (d *Director) rules() *objective.Rules {
	rules := d.options.Rules()
	if before := d.kept.Load(); before != rules && d.kept.CompareAndSwap(before, rules) {
		for _, pool := range d.options.Pools.List() {
			d.options.Metrics.Keep(rules.Models(pool.Key()))
		}
	}
	return rules
}

// RequestHeaders are the names of the request headers that decisions may depend on, or have to be passed on with.
func (d *Director) RequestHeaders() []string {
	return slices.Concat(d.options.Config.RequestHeaders, d.options.Tracer.RequestHeaders())
}

// work is one decision on its way, in recycled memory.
type work struct {
	director *Director
	x        *Exchange
	asked    *Request
	body     body.Request
	subset   []*datalayer.Endpoint

	target      string // the model that the model server is asked for
	fairness    string
	priority    int
	blockTokens int
}

var works = sync.Pool{New: func() any { return new(work) }}

// release gives the memory back; an unusually long prompt's is left to the garbage collector.
func (w *work) release() {
	const keptBlocks = 1 << 16
	clear(w.subset)
	w.director, w.x, w.asked, w.target, w.fairness, w.priority = nil, nil, nil, "", "", 0
	if cap(w.body.Blocks) > keptBlocks {
		return
	}
	w.body.Reset()
	works.Put(w)
}

// Decide chooses the endpoints of a request and begins to account for it in x. It may wait, until ctx ends. The error is a
// *Refusal. It is called once for an Exchange.
func (d *Director) Decide(ctx context.Context, x *Exchange, asked *Request) (Decision, error) {
	w := works.Get().(*work)
	defer w.release()
	w.director, w.x, w.asked = d, x, asked
	x.Trace(asked)
	defer func() { d.options.Metrics.Processing.Observe(time.Since(x.began).Seconds()) }()
	w.identify()
	err := w.scan()
	if err == nil {
		w.rewrite()
	}
	w.count()
	if err != nil {
		return Decision{}, err
	}
	return w.place(x.trace.Context(ctx))
}

// place has the request admitted and an endpoint chosen.
func (w *work) place(ctx context.Context) (Decision, error) {
	waiting, admission := w.x.trace.Step(ctx, tracing.AdmissionSpan)
	err := w.admit(waiting)
	admission.End(err)
	if err != nil {
		return Decision{}, err
	}
	ctx, step := w.x.trace.Step(ctx, tracing.SchedulingSpan)
	decision, err := w.schedule(ctx, step)
	step.End(err)
	return decision, err
}

// identify finds out whom the request belongs to and how much it matters.
func (w *work) identify() {
	w.fairness = w.asked.Fairness
	if w.fairness == "" {
		w.fairness = w.director.options.Config.Identity(w.asked.Headers)
	}
	if w.fairness == "" {
		w.fairness = flowcontrol.DefaultFairness
	}
	if w.asked.Objective != "" {
		w.priority, _ = w.director.rules().Priority(w.x.pool.Key(), w.asked.Objective)
	}
}

// scan reads the body as far as it is there.
func (w *work) scan() error {
	c := w.director.options.Config
	w.blockTokens = w.director.blockTokensOf(w.x.pool)
	w.body.Reset()
	if !w.asked.HasBody {
		return nil
	}
	api := body.Detect
	if w.asked.PathSent {
		resolved, ok := c.Parsers.Resolve(body.APIOf(w.asked.Path))
		if !ok {
			path, _, _ := strings.Cut(w.asked.Path, "?")
			return badRequest("no parser registered matching path suffix for: " + path)
		}
		api = resolved
	}
	limits := c.Prefix.Limits(w.blockTokens)
	limits.VideoTokens = w.asked.VideoTokens
	if err := body.Scan(api, w.asked.Body, w.asked.Complete, limits, &w.body); err != nil {
		return badRequest(err.Error())
	}
	w.x.API, w.x.Streamed = w.body.API, w.body.Stream
	if w.body.Model != "" {
		w.x.pool.learnModel(w.body.Model)
	} else if w.body.Truncated {
		w.body.Model = w.x.pool.guessModel()
	}
	return nil
}

// count begins the request's series.
func (w *work) count() {
	x := w.x
	target := w.target
	if target == "" {
		target = w.body.Model
	}
	x.series = w.director.options.Metrics.Series(w.body.Model, target, w.fairness, w.priority)
	x.series.Total.Inc()
	x.series.Running.Inc()
	x.series.Size.Observe(float64(w.asked.size()))
	x.trace.Identify(tracing.Identity{Model: w.body.Model, Target: target, Fairness: w.fairness, RequestID: w.asked.ID, Priority: w.priority})
}

// schedule has an endpoint chosen.
func (w *work) schedule(ctx context.Context, step tracing.Step) (Decision, error) {
	began := time.Now()
	options := &w.director.options
	candidates := w.candidates()
	if len(candidates) == 0 {
		options.Metrics.CountAttempt(w.target, nil)
		return Decision{}, noEndpoints("failed to find endpoint candidates for serving the request")
	}
	cycle := scheduling.NewCycle(&w.body, candidates, began)
	defer cycle.Release()
	w.prepare(ctx, cycle)
	chosen, err := options.Config.Handler.Schedule(cycle)
	if err != nil {
		options.Metrics.CountAttempt(w.target, nil)
		return Decision{}, unscheduled(err)
	}
	best := chosen[0]
	held := cycle.PrefixBlocks[best]
	if w.asked.IfAvailable && w.asked.HasBody && held == 0 {
		options.Metrics.CountAttempt(w.target, nil)
		return Decision{}, notCached()
	}
	w.x.place(cycle, chosen, cycle.PromptTokens())
	for _, follower := range options.Config.Followers {
		w.x.follow(follower.Follow(cycle, chosen))
	}
	options.Metrics.SchedulerDuration.Observe(time.Since(began).Seconds())
	options.Metrics.CountAttempt(w.target, candidates[best])
	options.Metrics.PrefixHit(held, len(cycle.Keys), cycle.BlockTokens)
	step.Candidates(len(candidates), len(cycle.Keys), held)
	return w.decision(cycle, chosen), nil
}

// prepare tells the cycle what is known of the request.
func (w *work) prepare(ctx context.Context, cycle *scheduling.Cycle) {
	cycle.Context = ctx
	cycle.Pool = w.x.pool.Key()
	cycle.Headers, cycle.BodyBytes, cycle.Body = w.asked.Headers, w.asked.size(), w.asked.Body
	cycle.TargetModel, cycle.Fairness, cycle.Priority = w.target, w.fairness, w.priority
	cycle.RequestID, cycle.TTFT, cycle.TPOT = w.asked.ID, w.asked.TTFT, w.asked.TPOT
	cycle.Custom = customNumber
	if w.director.options.Metrics.Watched() {
		cycle.Time(w.director.timings.tell)
	}
	cycle.KeepScores = w.director.options.Scores
	cycle.BlockTokens = w.blockTokens
	cycle.Keys = prefix.Chain(cycle.Keys, prefix.Seed(w.target, w.body.CacheSalt), w.body.Blocks, w.body.Prompts...)
	cycle.Match(w.x.pool.Index())
}

// customNumber looks up what the configuration of the data layer adds to an endpoint's numbers.
func customNumber(endpoint *datalayer.Endpoint, name string) (float64, bool) {
	return endpoint.Custom(name)
}

// decision is what the proxy is to be told of the choice.
func (w *work) decision(cycle *scheduling.Cycle, chosen []int) Decision {
	decision := Decision{Addresses: destinations(cycle, chosen)}
	if set := cycle.OutgoingHeaders(); len(set) > 0 {
		decision.Headers = append(decision.Headers, set...)
	}
	w.x.trace.Picked(decision.Addresses)
	decision.Headers = w.x.trace.Inject(decision.Headers)
	if w.target != w.body.Model {
		decision.Model, decision.ModelStart, decision.ModelEnd = quote(w.target), w.body.ModelStart, w.body.ModelEnd
	}
	if w.director.options.Scores {
		cycle.EachScore(func(candidate int, score float32) {
			decision.Scores = append(decision.Scores, Score{cycle.Destination(candidate), float64(score)})
		})
	}
	return decision
}

// candidates are the endpoints that the proxy allows.
func (w *work) candidates() []*datalayer.Endpoint {
	all := w.x.pool.Endpoints()
	if !w.asked.Restricted || w.director.options.Config.OverridesSubset(w.asked.Headers) {
		return all
	}
	allowed := make(map[netip.Addr]bool, len(w.asked.Subset))
	for _, item := range w.asked.Subset {
		if ip, ok := ipOf(item); ok {
			allowed[ip] = true
		}
	}
	w.subset = w.subset[:0]
	for _, candidate := range all {
		if ip, ok := ipOf(candidate.Address); ok && allowed[ip] {
			w.subset = append(w.subset, candidate)
		}
	}
	return w.subset
}

func ipOf(address string) (netip.Addr, bool) {
	if withPort, err := netip.ParseAddrPort(address); err == nil {
		return withPort.Addr().Unmap(), true
	}
	ip, err := netip.ParseAddr(address)
	return ip.Unmap(), err == nil
}

// destinations are the addresses of the chosen candidates, best first.
func destinations(cycle *scheduling.Cycle, chosen []int) string {
	if len(chosen) == 1 {
		return cycle.Destination(chosen[0])
	}
	addresses := make([]string, len(chosen))
	for i, index := range chosen {
		addresses[i] = cycle.Destination(index)
	}
	return strings.Join(addresses, ",")
}

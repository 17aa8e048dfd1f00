package objective

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// Objective is the priority of the requests of a pool that name it.
type Objective struct {
	Pool     string // namespace/name
	Name     string
	Priority int
}

// Rewrite replaces the models that requests of a pool ask for.
type Rewrite struct {
	Pool    string // namespace/name
	Name    string
	Created time.Time // the oldest one has the say about a model
	Rules   []Rule    // the first one has the say about a model
}

// Rule sends requests for one of the Models, for any model when there are none, to one of the Targets.
type Rule struct {
	Models  []string
	Targets []Target
}

// Target is a model with its share of the requests. A weight of 0 is one that was not given: beside targets with a weight it
// gets no requests, and where no target has one all get the same share.
type Target struct {
	Model  string
	Weight uint32
}

// Rules are what objectives and rewrites come to at one moment. They do not change; nil Rules know nothing. A lookup allocates
// nothing.
type Rules struct {
	pools map[string]*pool
}

// pool is what is known of one pool.
type pool struct {
	priorities map[string]int
	exact      map[string]*choice // by the model asked for
	any        *choice            // for the other models; nil when there is no rule for them
	models     []string           // ordered, each once
}

// New makes Rules. Of two objectives of one name in a pool the first counts.
func New(objectives []Objective, rewrites []Rewrite) *Rules {
	r := &Rules{pools: map[string]*pool{}}
	for _, o := range objectives {
		p := r.pool(o.Pool)
		if _, known := p.priorities[o.Name]; !known {
			p.priorities[o.Name] = o.Priority
		}
	}
	rewrites = slices.Clone(rewrites)
	slices.SortStableFunc(rewrites, compareRewrites)
	named := map[string]map[string]bool{} // models, by pool
	for i := range rewrites {
		w := &rewrites[i]
		if named[w.Pool] == nil {
			named[w.Pool] = map[string]bool{}
		}
		for _, rule := range w.Rules {
			r.pool(w.Pool).add(w.Name, rule, named[w.Pool])
		}
	}
	for key, models := range named {
		r.pool(key).models = slices.Sorted(maps.Keys(models))
	}
	return r
}

// compareRewrites puts the older one first; of one age, the one whose name comes first. Those of one pool are of one namespace.
func compareRewrites(a, b Rewrite) int {
	return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Name, b.Name))
}

func (r *Rules) pool(key string) *pool {
	p := r.pools[key]
	if p == nil {
		p = &pool{priorities: map[string]int{}, exact: map[string]*choice{}}
		r.pools[key] = p
	}
	return p
}

// add takes in a rule that comes after those that are there. Whatever it names is noted, also where an older rule has the
// say.
func (p *pool) add(rewrite string, rule Rule, named map[string]bool) {
	for _, model := range rule.Models {
		named[model] = true
	}
	for _, t := range rule.Targets {
		named[t.Model] = true
	}
	c := newChoice(rewrite, rule.Targets)
	if c == nil {
		return
	}
	if len(rule.Models) == 0 && p.any == nil {
		p.any = c
	}
	for _, model := range rule.Models {
		if p.exact[model] == nil {
			p.exact[model] = c
		}
	}
}

// Priority gives the priority of an objective of a pool ("namespace/name").
func (r *Rules) Priority(pool, objective string) (priority int, known bool) {
	if r == nil {
		return 0, false
	}
	p := r.pools[pool]
	if p == nil {
		return 0, false
	}
	priority, known = p.priorities[objective]
	return priority, known
}

// Rewrites tells whether there is any rule for the models of a pool's requests.
func (r *Rules) Rewrites(pool string) bool {
	if r == nil {
		return false
	}
	p := r.pools[pool]
	return p != nil && (p.any != nil || len(p.exact) > 0)
}

// Rewrite gives the model that a request for a model is to be sent to, drawn by weight, and the name of the object that says
// so. A rule that names the model has the say, then one for any model; among those the one of the oldest object.
func (r *Rules) Rewrite(pool, model string) (rewriteName, target string, ok bool) {
	if r == nil {
		return "", "", false
	}
	p := r.pools[pool]
	if p == nil {
		return "", "", false
	}
	c := p.exact[model]
	if c == nil {
		c = p.any
	}
	if c == nil {
		return "", "", false
	}
	return c.rewrite, c.draw(), true
}

// Models walks the names of models that rewrites of a pool mention, in their order, each once.
func (r *Rules) Models(pool string) iter.Seq[string] {
	if r == nil || r.pools[pool] == nil {
		return func(func(string) bool) {}
	}
	return slices.Values(r.pools[pool].models)
}

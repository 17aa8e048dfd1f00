package kube

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/switchyard/switchyard/internal/source"
)

// place is one kind in one scope: where there is one watch at a time.
type place struct {
	kind  string
	scope scope
}

// followed is a watch and what the owner made of it.
type followed struct {
	*watch
	applied bool   // its first list is in the view
	stoodIn bool   // its Namespace was made up
	logged  string // the last warning about it that was logged
}

// owner is the one goroutine that changes the view. Watches hand it changes; it merges them, decides when the view is
// worth handing on, and begins and ends watches by what the cluster serves.
type owner struct {
	*Source
	store   *source.Store
	poller  *poller
	running *sync.WaitGroup
	wake    chan struct{}

	view     source.Objects
	watches  map[place]*followed
	found    *found               // nil before the first answer
	unknown  map[string]time.Time // since when a kind that is watched is not served, by its id
	since    time.Time            // of the start
	started  bool                 // the first view was put
	warnings []source.Problem     // as they were put
	failing  bool                 // a watch fails
	absent   string               // the kinds that are not served, as they were logged
	cleared  bool                 // objects were dropped since the last step
	due      time.Time            // when a change of a status goes out at the latest; zero when there is none
}

func newOwner(s *Source, store *source.Store, p *poller, running *sync.WaitGroup) *owner {
	return &owner{
		Source: s, store: store, poller: p, running: running, wake: make(chan struct{}, 1),
		watches: map[place]*followed{}, unknown: map[string]time.Time{}, since: time.Now(),
	}
}

func (o *owner) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run works until ctx ends.
func (o *owner) run(ctx context.Context) error {
	if err := o.reconcile(ctx); err != nil {
		return err
	}
	burst := newBurst(o.timing)
	defer burst.timer.Stop()
	status := time.NewTimer(time.Hour)
	defer status.Stop()
	waiting := time.NewTicker(o.timing.patience)
	defer waiting.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.wake:
			burst.event()
			continue
		case o.found = <-o.poller.found:
			o.logAbsent()
			if err := o.reconcile(ctx); err != nil {
				return err
			}
		case <-burst.timer.C:
			burst.end()
		case <-status.C:
		case <-waiting.C:
			if o.started {
				waiting.Stop()
				continue
			}
			o.logWaiting()
		}
		o.step()
		if !o.due.IsZero() {
			status.Reset(time.Until(o.due))
		}
	}
}

// burst gathers events: what comes within a short time is one change.
type burst struct {
	timing timing
	timer  *time.Timer
	first  time.Time // zero when there is no event to act on
}

func newBurst(t timing) *burst {
	b := &burst{timing: t, timer: time.NewTimer(time.Hour)}
	b.timer.Stop()
	return b
}

func (b *burst) event() {
	now := time.Now()
	if b.first.IsZero() {
		b.first = now
	}
	b.timer.Reset(max(0, min(b.timing.quiet, b.first.Add(b.timing.limit).Sub(now))))
}

func (b *burst) end() { b.first = time.Time{} }

// step merges what came and puts the view when somebody has to act on it.
func (o *owner) step() {
	most := o.merge()
	warnings := o.warn()
	if !o.started {
		if !o.ready() {
			return
		}
		o.started = true
		o.put(warnings)
		o.log.Info("the objects of the cluster are read", o.counts()...)
		return
	}
	switch {
	case most == content, !slices.Equal(warnings, o.warnings):
		o.put(warnings)
	case most == statusOnly && o.due.IsZero():
		o.due = time.Now().Add(o.timing.status)
	case !o.due.IsZero() && !time.Now().Before(o.due):
		o.put(warnings)
	}
}

// put hands on a copy of the view, whose sets are immutable.
func (o *owner) put(warnings []source.Problem) {
	o.warnings, o.due = warnings, time.Time{}
	view := o.view
	o.metrics.put(&view, o.kinds)
	o.store.Put(source.Update{Objects: &view, Warnings: warnings})
	o.log.Debug("a view of the cluster was handed on", o.counts()...)
}

// merge takes the changes of all watches into the view and tells the greatest among them.
func (o *owner) merge() change {
	most := nothing
	if o.cleared {
		most, o.cleared = content, false
	}
	for _, w := range o.watches {
		taken, synced := w.take()
		if synced && !w.applied {
			w.applied = true
			taken = o.withGone(w, taken)
		}
		if len(taken) > 0 {
			most = max(most, w.kind.merge(&o.view, taken))
		}
		if w.standsIn() {
			w.stoodIn = true
			most = max(most, w.kind.merge(&o.view, changes{{Name: w.scope.name}: bareNamespace(w.scope.name)}))
		}
	}
	return most
}

// withGone adds to a first list that which the view has of its scope and the list has not: objects that went away between
// two watches.
func (o *owner) withGone(w *followed, first changes) changes {
	gone := changes{}
	for k := range w.kind.keys(&o.view) {
		if w.scope.covers(k) {
			gone[k] = nil
		}
	}
	maps.Copy(gone, first)
	return gone
}

// ready tells whether the view is complete: the cluster said what it serves, and each watch has given its first list or need
// not be waited for.
func (o *owner) ready() bool {
	return o.found != nil && len(o.awaited()) == 0
}

// awaited lists the watches without which there is no first view. One that is forbidden is waited for a while, for
// a role may come a moment later; where a role in a namespace is all there is, it cannot come.
func (o *owner) awaited() []*followed {
	var out []*followed
	for _, w := range o.watches {
		if w.applied {
			continue
		}
		forbidden := len(w.health().forbidden) > 0
		patient := time.Since(o.since) < o.timing.patience && !(w.kind.clusterScoped && len(o.namespaces) > 0)
		if !forbidden || patient {
			out = append(out, w)
		}
	}
	return out
}

// reconcile begins and ends watches so that each kind is watched in the best version that is served.
func (o *owner) reconcile(ctx context.Context) error {
	for _, k := range o.kinds {
		version := k.versions[0]
		if k.custom {
			if o.found == nil {
				continue
			}
			version = o.found.version[k.id()]
		}
		if version != "" {
			delete(o.unknown, k.id())
		} else if o.unknown[k.id()].IsZero() {
			o.unknown[k.id()] = time.Now()
		}
		for _, sc := range o.scopes(k) {
			if err := o.reconcileAt(ctx, k, version, sc); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *owner) reconcileAt(ctx context.Context, k *kind, version string, sc scope) error {
	at := place{k.id(), sc}
	w := o.watches[at]
	switch {
	case version == "":
		if w != nil && o.isGone(w) {
			o.log.Info("a kind is no longer served, its objects are dropped", "resource", k.resourceName())
			w.stop()
			delete(o.watches, at)
			o.clear(k, sc)
		}
		return nil
	case w != nil && w.version == version:
		return nil
	case w != nil:
		// The objects of the old version stay until the new one is listed.
		w.stop()
	}
	begun, err := o.startWatch(ctx, k, version, sc, o.nudge, o.poller.ask, o.running)
	if err != nil {
		return err
	}
	o.log.Debug("watch begins", "resource", k.resourceName(), "version", version, "namespace", sc.namespace)
	o.watches[at] = &followed{watch: begun}
	return nil
}

// isGone tells whether a kind that is not served can be given up. An API server that starts must not make us drop
// every Gateway, so the watch must have been told too that there is nothing, and some time must have passed.
func (o *owner) isGone(w *followed) bool {
	if !w.applied && w.kind.count(&o.view) == 0 {
		return true
	}
	return w.health().gone && time.Since(o.unknown[w.kind.id()]) >= o.timing.confirm
}

// clear drops the objects of a scope.
func (o *owner) clear(k *kind, sc scope) {
	gone := changes{}
	for key := range k.keys(&o.view) {
		if sc.covers(key) {
			gone[key] = nil
		}
	}
	if k.merge(&o.view, gone) == content {
		o.cleared = true
	}
}

// scopes lists what has to be watched of a kind. The Namespaces that are watched are named one by one, so that a rule with
// resourceNames is enough.
func (o *owner) scopes(k *kind) []scope {
	if len(o.namespaces) == 0 || k.clusterScoped && k.name != namespaceKind {
		return []scope{{}}
	}
	var out []scope
	for _, ns := range o.namespaces {
		if k.clusterScoped {
			out = append(out, scope{name: ns})
		} else {
			out = append(out, scope{namespace: ns})
		}
	}
	if o.own != "" && slices.Contains(ownKinds, k.name) && !slices.Contains(o.namespaces, o.own) {
		out = append(out, scope{namespace: o.own})
	}
	return out
}

// ownKinds are watched in the control plane's own namespace, whether it is served or not.
var ownKinds = []string{"Service", "EndpointSlice", "Pod"}

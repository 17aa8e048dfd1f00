package xds

import (
	"slices"
	"time"

	"github.com/switchyard/switchyard/translate/resource"
)

// entry is what a connection knows of one resource, kept only while it differs from "subscribed, and at the version
// of the view".
type entry struct {
	has        *resource.Resource // acknowledged by the proxy; nil: it has none
	flight     *resource.Resource // sent and unanswered
	removing   bool               // a removal is sent and unanswered
	subscribed bool               // asked for by name
	force      bool               // asked for again by name: send it although the version is the same
	rejected   string             // version that the proxy refused
	changed    bool               // since comes from SetView rather than from a subscription

	team      uint32    // not 0: to be sent together with these only, to find the one that is rejected
	since     time.Time // when what is wanted began to differ from has
	holdUntil time.Time // not to be touched before: another replica may be ahead
	gatedAt   time.Time // when it was first held back for what it refers to
	freeAt    time.Time // removal: when nothing was found to refer to it any more
}

// known says whether a resource's content is known, or only that a proxy has that version of it.
func known(r *resource.Resource) bool { return r.Body != nil }

func sameVersion(a, b *resource.Resource) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Version == b.Version
}

// look gives what is known of a resource without keeping it.
func (c *conn) look(k key) entry {
	if e := c.entries[k]; e != nil {
		return *e
	}
	return c.defaultEntry(k)
}

// touch gives the entry of a resource for changing.
func (c *conn) touch(k key) *entry {
	e := c.entries[k]
	if e == nil {
		d := c.defaultEntry(k)
		e = &d
		c.entries[k] = e
	}
	return e
}

func (c *conn) defaultEntry(k key) entry {
	if !c.kinds[k.kind].started {
		return entry{}
	}
	r := c.view.get(k)
	return entry{has: r, subscribed: r != nil && !c.kinds[k.kind].wildcard}
}

// interested says whether the proxy asks for the resource, by name or by wildcard.
func (c *conn) interested(k key, e *entry) bool {
	return c.kinds[k.kind].started && (c.kinds[k.kind].wildcard || e.subscribed)
}

// wanted is the version of the view, or nil for a resource that the proxy is not to have.
func (c *conn) wanted(k key, e *entry) *resource.Resource {
	if !c.interested(k, e) {
		return nil
	}
	return c.view.get(k)
}

// advance moves the connection to the next generation: the keys that changed become entries, judged anew.
func (c *conn) advance(ch change) {
	if c.fresh && c.kinds[listenerKind].acked {
		c.fresh = false // it serves traffic, so from now on a change is gated
	}
	for _, k := range ch.keys {
		e := c.touch(k) // the default is still that of the generation before
		if c.live {
			e.holdUntil = time.Time{} // our own view moved for this resource: we are not behind
		}
	}
	first := !c.compared
	resumed := !c.live
	c.view, c.live, c.compared = ch.to, true, true
	for _, k := range ch.keys {
		c.entries[k].changed = !first
	}
	if resumed { // nothing was judged while there was no view
		for k, e := range c.entries {
			if first {
				c.holdIfAhead(k, e, ch.at)
			}
			c.judge(k, ch.at)
		}
		return
	}
	for _, k := range ch.keys {
		c.judge(k, ch.at)
	}
}

// start handles the first request of a kind: what the proxy brought along is compared with the view.
func (c *conn) start(k kind, req subscriptionChange, now time.Time) {
	st := &c.kinds[k]
	// A first request without names means all of them for these two types only; for the others it asks for nothing.
	legacy := len(req.subscribe) == 0 && (k == clusterKind || k == listenerKind)
	st.wildcard = legacy || slices.Contains(req.subscribe, "*")
	if len(req.initial) > 0 {
		c.fresh = false
	}
	if c.received == 1 {
		c.recallRejections(len(req.initial) > 0)
	}
	named := make(map[string]struct{}, len(req.subscribe))
	for _, name := range req.subscribe {
		if name != "*" {
			named[name] = struct{}{}
		}
	}
	started := make([]key, 0, 16)
	begin := func(name string, r *resource.Resource) {
		key := key{k, name}
		_, byName := named[name]
		version, brought := req.initial[name]
		interested := st.wildcard || byName
		if interested && brought && r != nil && r.Version == version && c.entries[key] == nil {
			delete(c.warming, key) // a cluster that was judged first may have missed it
			return                 // up to date: the default
		}
		e := c.touch(key)
		e.subscribed = byName
		if interested && brought {
			e.has = &resource.Resource{ID: key.id(), Version: version}
		}
		started = append(started, key)
	}
	for _, r := range c.view.of(k) {
		begin(r.Name, r)
	}
	for name := range req.initial {
		if c.view.get(key{k, name}) == nil {
			begin(name, nil)
		}
	}
	for name := range named {
		if _, brought := req.initial[name]; !brought && c.view.get(key{k, name}) == nil {
			begin(name, nil)
		}
	}
	st.started = true
	for _, key := range started {
		if c.live {
			c.holdIfAhead(key, c.entries[key], now)
		}
		c.judge(key, now)
	}
}

// holdIfAhead leaves a resource alone for a while if the proxy has a version that this replica never produced: it
// came from a replica that may be ahead of this one, and would be rolled back.
func (c *conn) holdIfAhead(k key, e *entry, now time.Time) {
	if e.has == nil || known(e.has) || sameVersion(e.has, c.wanted(k, e)) {
		return
	}
	if !c.state.history.produced(k, e.has.Version) {
		e.holdUntil = now.Add(c.server.opts.LagHold)
	}
}

// recallRejections begins with what this proxy rejected on an earlier stream, or drops it if the proxy starts anew.
func (c *conn) recallRejections(returning bool) {
	if returning {
		for k, version := range c.server.rejections.resume(c.viewName, c.nodeID) {
			c.touch(k).rejected = version
		}
		return
	}
	over := c.server.rejections.take(func(k rejectionKey, _ *standingRejection) bool {
		return k.view == c.viewName && k.node == c.nodeID
	})
	if len(over) > 0 {
		c.events = append(c.events, func() { c.server.reportCleared(over) })
	}
}

// resubscribe handles the interest in a later request of a kind. A name that is asked for again is answered with the
// body even if the version is unchanged: a cluster or listener that was made anew waits for it. A name that the view
// does not have is not answered: this replica may be behind.
func (c *conn) resubscribe(k kind, req subscriptionChange, now time.Time) {
	st := &c.kinds[k]
	for _, name := range req.subscribe {
		if name == "*" {
			c.setWildcard(k, true, now)
			continue
		}
		e := c.touch(key{k, name})
		e.force = e.has != nil || e.flight != nil
		e.subscribed = true
		c.judge(key{k, name}, now)
	}
	for _, name := range req.unsubscribe {
		if name == "*" {
			c.setWildcard(k, false, now)
			continue
		}
		e := c.touch(key{k, name})
		e.subscribed = false
		e.force = st.wildcard && e.has != nil // the protocol asks for an answer to this, too
		c.judge(key{k, name}, now)
	}
}

// setWildcard turns the wildcard of a kind on or off; every resource of the kind is judged anew.
func (c *conn) setWildcard(k kind, on bool, now time.Time) {
	st := &c.kinds[k]
	if st.wildcard == on {
		return
	}
	var keys []key
	for _, r := range c.view.of(k) {
		c.touch(key{k, r.Name}) // before the default changes
	}
	for key := range c.entries {
		if key.kind == k {
			keys = append(keys, key)
		}
	}
	st.wildcard = on
	for _, key := range keys {
		c.judge(key, now)
	}
}

// judge decides whether there is something to do about a resource. It is called whenever something about it changed.
func (c *conn) judge(k key, now time.Time) {
	e := c.entries[k]
	if e == nil {
		return
	}
	st := &c.kinds[k.kind]
	if e.flight != nil || e.removing {
		delete(st.todo, k.name) // judged again when the answer comes
		c.noteWarming(k, e, now)
		return
	}
	if !c.interested(k, e) {
		e.has = nil // the proxy has dropped it
	}
	want := c.wanted(k, e)
	if want == nil && st.started {
		e.force = false
	}
	switch {
	case !st.started && e.force:
		// decided when the proxy asks for the kind
	case sameVersion(want, e.has) && !e.force:
		c.settle(k, e)
	case want != nil && want.Version == e.rejected:
		delete(st.todo, k.name)
		e.since, e.force = time.Time{}, false
	default:
		if st.todo == nil {
			st.todo = map[string]struct{}{}
		}
		st.todo[k.name] = struct{}{}
		if e.since.IsZero() {
			e.since = now
		}
		if want != nil {
			e.freeAt = time.Time{}
		}
	}
	c.noteWarming(k, e, now)
	if e.isDefault(c, k) {
		delete(c.entries, k)
	}
}

// settle ends all waiting about a resource that the proxy has as wanted.
func (c *conn) settle(k key, e *entry) {
	delete(c.kinds[k.kind].todo, k.name)
	if e.rejected != "" && c.kinds[k.kind].started {
		c.clearRejection(k, e)
	}
	*e = entry{has: e.has, subscribed: e.subscribed, rejected: e.rejected}
}

func (e *entry) isDefault(c *conn, k key) bool {
	d := c.defaultEntry(k)
	if c.kinds[k.kind].wildcard {
		d.subscribed = e.subscribed
	}
	return e.flight == nil && !e.removing && !e.force && e.rejected == "" &&
		sameVersion(e.has, d.has) && e.subscribed == d.subscribed
}

func (c *conn) clearRejection(k key, e *entry) {
	e.rejected = ""
	if r, ok := c.server.rejections.clear(rejectionKey{c.viewName, c.nodeID, k}); ok && c.server.opts.OnCleared != nil {
		c.events = append(c.events, func() { c.server.opts.OnCleared(r) })
	}
}

// noteWarming keeps the set that gates look at: clusters of which the proxy lacks the wanted version, and endpoints of
// which it has none. Endpoints that merely change do not count, or constant pod churn would hold routes for ever;
// the stream's order puts them ahead of the routes anyway.
func (c *conn) noteWarming(k key, e *entry, now time.Time) {
	switch k.kind {
	case clusterKind:
		want := c.wanted(k, e)
		if want == nil || want.Version == e.rejected || sameVersion(want, e.has) {
			delete(c.warming, k)
			if want == nil || want.Version == e.rejected {
				c.forgetEndpoints(k)
			}
			return
		}
		if c.fresh || (e.has != nil && now.Before(e.holdUntil)) {
			return
		}
		c.beginWarming(k, now)
		for _, ref := range want.Refs {
			if ep, ok := keyOf(ref); ok && ep.kind == endpointKind {
				if x := c.look(ep); x.has == nil && c.view.get(ep) != nil && c.view.get(ep).Version != x.rejected {
					c.beginWarming(ep, now)
				}
			}
		}
	case endpointKind:
		r := c.view.get(k)
		arrived := e.has != nil && e.flight == nil && !e.force
		if r == nil || arrived || r.Version == e.rejected {
			delete(c.warming, k)
		}
	}
}

func (c *conn) beginWarming(k key, now time.Time) {
	if _, ok := c.warming[k]; !ok {
		c.warming[k] = now
	}
}

// resendEndpoints has the endpoints of a modified cluster sent again after it, changed or not. Envoy makes such a
// cluster anew and waits for endpoints without asking for them, because its old one has asked for that name already.
// It would use the old ones after initial_fetch_timeout, 15 s, and acknowledge no cluster until then.
func (c *conn) resendEndpoints(cluster *resource.Resource, now time.Time) {
	for _, ref := range cluster.Refs {
		ep, ok := keyOf(ref)
		if !ok || ep.kind != endpointKind {
			continue
		}
		if x := c.look(ep); c.kinds[endpointKind].started && !x.subscribed {
			continue
		}
		c.touch(ep).force = true
		if !c.fresh && c.view.get(ep) != nil {
			c.beginWarming(ep, now)
		}
		c.judge(ep, now)
	}
}

// forgetEndpoints stops waiting for the endpoints of a cluster that will not be: it was rejected or is not wanted.
func (c *conn) forgetEndpoints(k key) {
	r := c.view.get(k)
	if r == nil {
		return // its endpoints left the view with it, and are judged themselves
	}
	for _, ref := range r.Refs {
		if ep, ok := keyOf(ref); ok && ep.kind == endpointKind {
			delete(c.warming, ep)
		}
	}
}

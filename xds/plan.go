package xds

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard/switchyard/translate/resource"
)

// pass is one run of plan: its time, and when the next one is due at the latest.
type pass struct {
	now  time.Time
	wake time.Time
}

func (p *pass) wakeAt(t time.Time) {
	if p.wake.IsZero() || t.Before(p.wake) {
		p.wake = t
	}
}

// plan sends what can be sent now. Within one pass the order is clusters, endpoints, secrets, listeners, route
// tables, and last the removals of what nothing refers to any more. Envoy works off one stream in order, so the order
// of sending is the order of applying; what it asks for in consequence (the endpoints of a new cluster) comes later,
// and is what the gates wait for.
func (c *conn) plan(now time.Time) {
	if !c.live {
		c.pump()
		return
	}
	p := pass{now: now}
	for k := range kindCount {
		if c.kinds[k].started {
			c.planKind(k, &p)
		}
	}
	c.planRemovals(&p)
	c.pump()
	c.arm(p.wake, now)
}

// planKind sends the additions and modifications of one kind, and for listeners the removals too.
func (c *conn) planKind(k kind, p *pass) {
	var together, removed []string
	var alone [][]string
	teams := map[uint32][]string{}
	waiting := false
	for _, name := range c.sortedTodo(k) {
		key := key{k, name}
		e := c.entries[key]
		want := c.wanted(key, e)
		if p.now.Before(e.holdUntil) {
			p.wakeAt(e.holdUntil)
			waiting = true
			continue
		}
		if want == nil {
			if k == listenerKind {
				removed = append(removed, name)
			}
			continue
		}
		if until, held := c.gate(key, e, want, p.now); held {
			p.wakeAt(until)
			waiting = true
			continue
		}
		switch {
		case e.team != 0:
			teams[e.team] = append(teams[e.team], name)
		case !k.namesFailures() && e.has != nil && !sameVersion(e.has, want):
			// The rejection of such a response does not say which resource failed, so each change goes by itself. What
			// the proxy has never had goes together: it is much, and a rejection of it is taken apart by answer.
			alone = append(alone, []string{name})
		default:
			together = append(together, name)
		}
	}
	if waiting {
		removed = nil // an old listener stays until its successor has been sent
	}
	for _, id := range slices.Sorted(maps.Keys(teams)) {
		c.send(k, teams[id], nil, p.now)
	}
	if len(together) > 0 || len(removed) > 0 || c.owesEmptyAnswer(k) {
		c.send(k, together, removed, p.now)
	}
	for _, names := range alone {
		c.send(k, names, nil, p.now)
	}
}

func (c *conn) sortedTodo(k kind) []string {
	if len(c.kinds[k].todo) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(c.kinds[k].todo))
}

// owesEmptyAnswer: a proxy that starts waits for an answer to its first wildcard request even if there is nothing of
// that kind; without one it would not become ready before its initial fetch timeout.
func (c *conn) owesEmptyAnswer(k kind) bool {
	st := &c.kinds[k]
	return c.fresh && st.wildcard && !st.answered && len(st.todo) == 0
}

// gate says whether a listener or route table must wait, and until when at most. It waits while a cluster that it
// refers to, or that cluster's endpoints, is missing in the proxy. Each missing reference counts for GateDeadline from
// the time it was missed first, acknowledged or not: one that never comes holds nothing back a second time. And each
// resource waits for GateDeadline at most, however many references come along meanwhile.
//
// A route table is one resource. While it waits for the new cluster of one of its routes, changes to its other routes
// wait with it; the deadline bounds that.
//
// A proxy's first configuration is not gated: nothing of it counts as missing, see noteWarming. Envoy asks for its first
// listeners when its clusters are ready.
func (c *conn) gate(k key, e *entry, want *resource.Resource, now time.Time) (until time.Time, held bool) {
	if k.kind != listenerKind && k.kind != routeKind {
		return time.Time{}, false
	}
	overdue := 0
	if len(c.warming) > 0 {
		until, overdue = c.missing(want, e.gatedAt, now)
	}
	if !until.IsZero() {
		if e.gatedAt.IsZero() {
			e.gatedAt = now
		}
		if limit := e.gatedAt.Add(c.server.opts.GateDeadline); limit.Before(until) {
			until = limit
		}
		if now.Before(until) {
			return until, true
		}
		overdue++
	}
	if overdue > 0 {
		c.expired++
		c.server.metrics.gateExpired.Inc()
		c.log.Warn("sent before everything it refers to was acknowledged", "type", k.kind.String(), "name", k.name,
			"waited", now.Sub(e.gatedAt), "missing", overdue)
	}
	e.gatedAt = time.Time{}
	return time.Time{}, false
}

// missing gives the time until which the missing references of a resource may hold it, zero if none does, and how many
// have held it since gatedAt and may not any longer.
func (c *conn) missing(r *resource.Resource, gatedAt, now time.Time) (until time.Time, overdue int) {
	check := func(k key) (missing bool) {
		since, missing := c.warming[k]
		if !missing {
			return false
		}
		deadline := since.Add(c.server.opts.GateDeadline)
		switch {
		case deadline.After(now):
			if deadline.After(until) {
				until = deadline
			}
		case !gatedAt.IsZero() && deadline.After(gatedAt):
			overdue++
		}
		return true
	}
	for _, ref := range r.Refs {
		if ref.Type != resource.ClusterType {
			continue
		}
		cluster := c.view.view.Resources[ref]
		if cluster == nil {
			continue
		}
		hasEndpoints, lacksEndpoints := false, false
		for _, ep := range cluster.Refs {
			if ep.Type == resource.EndpointType {
				hasEndpoints = true
				lacksEndpoints = check(key{endpointKind, ep.Name}) || lacksEndpoints
			}
		}
		k := key{clusterKind, ref.Name}
		if hasEndpoints && !lacksEndpoints && c.look(k).flight != nil && !checksHealth(cluster) {
			continue // the proxy has its endpoints, so it has the cluster too
		}
		check(k)
	}
	return until, overdue
}

// healthChecksField is the number of Cluster.health_checks.
const healthChecksField = 8

// checksHealth says whether a cluster has active health checks. Envoy acknowledges no cluster while any cluster is
// warming, so the acknowledgement of one cluster can be late because of another; but one whose endpoints have arrived
// is ready, unless it waits for its first health checks.
func checksHealth(cluster *resource.Resource) bool {
	b := cluster.Body.GetValue()
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return true // not a cluster that could be read: be careful
		}
		if number == healthChecksField {
			return true
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, typ, b); n < 0 {
			return true
		}
		b = b[n:]
	}
	return false
}

// removalOrder is that of late removals. What is removed in one pass does not refer to each other.
var removalOrder = [...]kind{routeKind, clusterKind, secretKind, endpointKind}

// planRemovals removes what the view does not have any more, once nothing that the proxy runs refers to it and the
// grace after that is over: requests in flight may still be on their way to it.
func (c *conn) planRemovals(p *pass) {
	var refs *heldRefs
	for _, k := range removalOrder {
		var names []string
		for _, name := range c.sortedTodo(k) {
			key := key{k, name}
			e := c.entries[key]
			if c.wanted(key, e) != nil || p.now.Before(e.holdUntil) {
				continue // planKind has seen to it
			}
			if refs == nil {
				refs = c.heldRefs()
			}
			if refs.holds(key) {
				e.freeAt = time.Time{}
				continue
			}
			if e.freeAt.IsZero() {
				e.freeAt = p.now
			}
			if due := e.freeAt.Add(c.server.opts.RemovalGrace); p.now.Before(due) {
				p.wakeAt(due)
				continue
			}
			names = append(names, name)
		}
		if len(names) > 0 {
			c.send(k, nil, names, p.now)
		}
	}
}

// heldRefs are the references of what the proxy runs in another version than the view's: what is about to be replaced
// or removed, and what it keeps because it rejected the newer version. Resources at the view's version cannot refer to
// what the view does not have.
type heldRefs struct {
	ids   map[resource.ID]struct{}
	blind [kindCount]bool // kinds of which the proxy runs a resource whose content is not known here
}

func (c *conn) heldRefs() *heldRefs {
	h := &heldRefs{ids: map[resource.ID]struct{}{}}
	for k, e := range c.entries {
		if e.has == nil || sameVersion(e.has, c.wanted(k, e)) {
			continue
		}
		if !known(e.has) {
			h.blind[k.kind] = true
		}
		for _, ref := range e.has.Refs {
			h.ids[ref] = struct{}{}
		}
	}
	return h
}

func (h *heldRefs) holds(k key) bool {
	if _, ok := h.ids[k.id()]; ok {
		return true
	}
	for from := range kindCount {
		if h.blind[from] && from.refersTo(k.kind) {
			return true
		}
	}
	return false
}

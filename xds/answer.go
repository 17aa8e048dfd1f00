package xds

import (
	"slices"
	"strings"
	"time"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/switchyard/switchyard/translate/resource"
)

// answer takes a proxy's acknowledgement or rejection of a response.
func (c *conn) answer(nonce string, failure *rpcstatus.Status, now time.Time) {
	r := c.unanswered[nonce]
	if r == nil {
		return
	}
	delete(c.unanswered, nonce)
	st := &c.kinds[r.kind]
	st.flying -= len(r.resources) + len(r.removed)
	if failure == nil {
		st.acked, st.nack = true, ""
		c.observe(r, now)
		for _, res := range r.resources {
			c.accept(r.kind, res, now)
		}
	} else {
		st.nack = failure.GetMessage()
		st.lastNACK, st.nackedAt = st.nack, now
		c.server.metrics.nacks.WithLabelValues(r.kind.String()).Inc()
		c.log.Warn("proxy rejected a response", "type", r.kind.String(), "error", st.nack)
		c.divide(r, failure.GetMessage(), now)
	}
	for _, name := range r.removed { // a removal cannot fail
		k := key{r.kind, name}
		e := c.entries[k]
		e.removing, e.has = false, nil
		e.since, e.freeAt = time.Time{}, time.Time{}
		c.judge(k, now)
	}
}

// accept notes that the proxy runs a version.
func (c *conn) accept(k kind, res *resource.Resource, now time.Time) {
	key := key{k, res.Name}
	e := c.entries[key]
	e.flight, e.has, e.team = nil, res, 0
	e.since = time.Time{}
	if e.rejected != "" {
		c.clearRejection(key, e)
	}
	c.judge(key, now)
}

// reject notes that the proxy refuses a version and keeps what it had.
func (c *conn) reject(k kind, res *resource.Resource, text string, now time.Time) {
	key := key{k, res.Name}
	e := c.entries[key]
	e.flight, e.team, e.rejected = nil, 0, res.Version
	rej := Rejection{
		View: c.viewName, Node: c.nodeID, Resource: res.ID, Version: res.Version, Sources: res.Sources, Error: text,
	}
	if c.server.rejections.add(rejectionKey{c.viewName, c.nodeID, key}, rej) && c.server.opts.OnRejection != nil {
		c.events = append(c.events, func() { c.server.opts.OnRejection(rej) })
	}
	c.judge(key, now)
}

// divide works out which resources of a rejected response failed.
//
// A response of one resource names it by itself. Envoy's text for clusters and listeners names those that failed, and
// the others were applied. With any other text nothing is known of the resources, and Envoy may have applied some or
// none: the response is sent again in two halves, and again, until each bad resource stands alone.
func (c *conn) divide(r *response, text string, now time.Time) {
	if len(r.resources) == 1 {
		c.reject(r.kind, r.resources[0], text, now)
		return
	}
	var failed []bool
	if r.kind.namesFailures() {
		failed = namedFailures(text, r.resources)
	}
	if !slices.Contains(failed, true) {
		c.regroup(r.kind, r.resources[:len(r.resources)/2], now)
		c.regroup(r.kind, r.resources[len(r.resources)/2:], now)
		return
	}
	var unsure []*resource.Resource
	for i, res := range r.resources {
		switch {
		case failed[i]:
			c.reject(r.kind, res, text, now)
		case truncated(text):
			unsure = append(unsure, res) // its name may have been cut off; applying it twice does no harm
		default:
			c.accept(r.kind, res, now)
		}
	}
	c.regroup(r.kind, unsure, now)
}

// regroup has resources sent again, together and with no others.
func (c *conn) regroup(k kind, list []*resource.Resource, now time.Time) {
	c.nextTeam++
	for _, res := range list {
		key := key{k, res.Name}
		e := c.entries[key]
		e.flight, e.team = nil, c.nextTeam
		c.judge(key, now)
	}
}

// truncated says whether Envoy cut its text off; it does so after 4 096 bytes.
func truncated(text string) bool { return strings.HasSuffix(text, "...(truncated)") }

// namedFailures finds the resources that a text names as failed. Envoy writes "Error adding/updating cluster(s) a: why,
// b: why" and "Error adding/updating listener(s) a: why\nb: why\n". A name counts only where one can stand, so that a
// name that ends like another one, or that is mentioned in a reason, is not taken for it.
func namedFailures(text string, resources []*resource.Resource) []bool {
	_, list, found := strings.Cut(text, "Error adding/updating ")
	if !found {
		return nil
	}
	_, list, found = strings.Cut(list, "(s) ")
	if !found {
		return nil
	}
	failed := make([]bool, len(resources))
	for i, res := range resources {
		entry := res.Name + ": "
		failed[i] = strings.HasPrefix(list, entry) ||
			strings.Contains(list, ", "+entry) ||
			strings.Contains(list, "\n"+entry)
	}
	return failed
}

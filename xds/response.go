package xds

import (
	"context"
	"fmt"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"

	"github.com/switchyard/switchyard/translate/resource"
)

// response is one message to a proxy, kept until it is answered. It is the cache.DeltaResponse given to
// go-control-plane, which sets the nonce.
type response struct {
	kind      kind
	resources []*resource.Resource
	removed   []string
	message   *discovery.DeltaDiscoveryResponse
}

var _ cache.DeltaResponse = (*response)(nil)

// kindRequests stand for the request of a response: go-control-plane reads only the type from it.
var kindRequests = func() (out [kindCount]*discovery.DeltaDiscoveryRequest) {
	for k := range kindCount {
		out[k] = &discovery.DeltaDiscoveryRequest{TypeUrl: kindURLs[k]}
	}
	return out
}()

// GetDeltaDiscoveryResponse gives the message for the wire.
func (r *response) GetDeltaDiscoveryResponse() (*discovery.DeltaDiscoveryResponse, error) {
	return r.message, nil
}

// GetDeltaRequest gives a request of the same type.
func (r *response) GetDeltaRequest() *discovery.DeltaDiscoveryRequest { return kindRequests[r.kind] }

// GetSystemVersion gives the hash of the view's resources of this type; for people only.
func (r *response) GetSystemVersion() (string, error) { return r.message.GetSystemVersionInfo(), nil }

// GetResponseVersion is GetSystemVersion without the error.
func (r *response) GetResponseVersion() string { return r.message.GetSystemVersionInfo() }

// GetNextVersionMap would be kept by go-control-plane for each stream; conn keeps it in a smaller form.
func (r *response) GetNextVersionMap() map[string]string { return map[string]string{} }

// GetReturnedResources is GetNextVersionMap under its newer name.
func (r *response) GetReturnedResources() map[string]string { return map[string]string{} }

// GetContext carries nothing.
func (r *response) GetContext() context.Context { return context.Background() }

func hashText(sum uint64) string { return fmt.Sprintf("%016x", sum) }

// send queues one response. Until it is answered, its resources are not sent again: that bounds the queue of a proxy
// that does not read, and merges what changes meanwhile.
func (c *conn) send(k kind, names, removed []string, now time.Time) {
	st := &c.kinds[k]
	r := &response{kind: k, removed: removed, message: &discovery.DeltaDiscoveryResponse{
		TypeUrl:           kindURLs[k],
		SystemVersionInfo: hashText(c.view.sum[k]),
		RemovedResources:  removed,
	}}
	for _, name := range names {
		key := key{k, name}
		e := c.entries[key]
		e.flight, e.force = c.wanted(key, e), false
		r.resources = append(r.resources, e.flight)
		r.message.Resources = append(r.message.Resources, &discovery.Resource{
			Name:     name,
			Version:  e.flight.Version,
			Resource: e.flight.Body,
		})
		delete(st.todo, name)
		if k == clusterKind && e.has != nil {
			c.resendEndpoints(e.flight, now)
		}
	}
	for _, name := range removed {
		c.entries[key{k, name}].removing = true
		delete(st.todo, name)
	}
	st.flying += len(names) + len(removed)
	st.answered = true
	c.queue = append(c.queue, r)
}

// pump hands queued responses to go-control-plane without ever blocking: it gives no more than the channel has room
// for, and only while a watch is open, because the channel is closed after the last one is cancelled.
func (c *conn) pump() {
	for len(c.queue) > 0 && c.open != 0 && len(c.handed) < cap(c.out) {
		r := c.queue[0]
		c.queue[0] = nil
		c.queue = c.queue[1:]
		c.handed = append(c.handed, r)
		c.out <- r
	}
	if len(c.queue) == 0 {
		c.queue = nil
	}
}

// OnStreamDeltaResponse is called just before a response is sent, when its nonce is known.
func (c *conn) OnStreamDeltaResponse(_ int64, _ *discovery.DeltaDiscoveryRequest, msg *discovery.DeltaDiscoveryResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.handed[0]
	c.handed = c.handed[1:]
	if len(c.handed) == 0 {
		c.handed = nil
	}
	r.message = nil // go-control-plane has it; the bodies are not needed for the answer
	c.unanswered[msg.GetNonce()] = r
	c.sent++
	c.server.metrics.pushes.WithLabelValues(r.kind.String()).Inc()
	c.pump()
}

// observe records how long a change took to be acknowledged; one response counts once, by its oldest change.
func (c *conn) observe(r *response, now time.Time) {
	var oldest time.Time
	for _, res := range r.resources {
		e := c.entries[key{r.kind, res.Name}]
		if e != nil && e.changed && (oldest.IsZero() || e.since.Before(oldest)) {
			oldest = e.since
		}
	}
	if !oldest.IsZero() {
		c.server.metrics.latency.Observe(now.Sub(oldest).Seconds())
	}
}

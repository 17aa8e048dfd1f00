package datalayer

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// EndpointEvent tells that an endpoint has come, is described otherwise than before, or is gone.
type EndpointEvent struct {
	Pool     string // namespace/name
	Endpoint *Endpoint
	Gone     bool
}

// EndpointExtractor is a plugin that is told of endpoints by an endpoint-notification-source.
type EndpointExtractor interface {
	// ExtractEndpoint takes one event. Events come one at a time, those of an endpoint in their order, and each plugin is told of all
	// endpoints there are when its configuration comes into force. What happens to an endpoint while the plugin is busy may be told
	// as one event, but not that a server took the place of another. An error is logged; the next event comes all the same.
	ExtractEndpoint(ctx context.Context, event EndpointEvent) error
}

// ObjectEvent tells that an object of a cluster is there, has changed, or is gone.
type ObjectEvent struct {
	Object *unstructured.Unstructured // not to be changed; of one that is gone what was known last
	Gone   bool
}

// ObjectExtractor is a plugin that is told of objects by a k8s-notification-source.
type ObjectExtractor interface {
	// ObjectKind is the kind that the plugin reads, which has to be that of the source.
	ObjectKind() schema.GroupVersionKind
	// ExtractObject takes one event. They come one at a time, those of an object in their order; when a configuration comes into force,
	// and when the watch had to begin anew, objects are told of that were told of before. An error is logged; the next event comes
	// all the same.
	ExtractObject(ctx context.Context, event ObjectEvent) error
}

// Watcher follows objects of a cluster.
type Watcher interface {
	// Watch hands over the objects of a kind that there are, and then their changes, one at a time, until the context ends. A kind that is
	// not there, or may not be read, is waited for.
	Watch(ctx context.Context, kind schema.GroupVersionKind, take func(ObjectEvent)) error
}

// Follow hands over the endpoints that there are, and then their changes, one at a time, until the context ends.
func (p *Pools) Follow(ctx context.Context, take func(EndpointEvent)) {
	known := map[followed]*Endpoint{}
	for {
		turned := p.turn()
		p.differ(known, take)
		select {
		case <-ctx.Done():
			return
		case <-turned:
		}
	}
}

// followed is an endpoint of a pool.
type followed struct {
	pool string
	id   identity
}

// differ tells what is different from what was known, and notes it. Who is gone comes first: addresses are used again.
func (p *Pools) differ(known map[followed]*Endpoint, take func(EndpointEvent)) {
	now := map[followed]*Endpoint{}
	pools := p.List()
	for _, pool := range pools {
		for _, e := range pool.Endpoints() {
			now[followed{pool.key, identity{e.Namespace, e.Name, e.Address}}] = e
		}
	}
	for at, before := range known {
		if e := now[at]; e == nil || e.live != before.live {
			delete(known, at)
			take(EndpointEvent{Pool: at.pool, Endpoint: before, Gone: true})
		}
	}
	for _, pool := range pools {
		for _, e := range pool.Endpoints() {
			at := followed{pool.key, identity{e.Namespace, e.Name, e.Address}}
			if now[at] == e && known[at] != e {
				known[at] = e
				take(EndpointEvent{Pool: pool.key, Endpoint: e})
			}
		}
	}
}

// turn is closed when endpoints come or go.
func (p *Pools) turn() <-chan struct{} { return *p.turned.Load() }

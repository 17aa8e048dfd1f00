package config

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// KubernetesNotificationsType is the type of KubernetesNotifications.
const KubernetesNotificationsType = "k8s-notification-source"

// KubernetesNotifications tells its extractors of the objects of one kind in the namespace of the pool, or of the cluster if the
// kind is one of those: of all that there are when the configuration comes into force, then of each change. The picker's role has to allow
// it to list and watch the kind; until it does, and until the kind is there, the source waits. Endpoints, objectives and rewrites are
// followed without it, and no plugin of this version asks for other kinds: it is for plugins of your own, each a
// datalayer.ObjectExtractor that config.RegisterObjectExtractor, or the function for its other role, has registered. Without extractors
// it has no effect, nor without a cluster. For each kind declare one of its own.
type KubernetesNotifications struct {
	kind       schema.GroupVersionKind
	extractors []named[datalayer.ObjectExtractor]
	watcher    datalayer.Watcher
}

// named is an extractor with the name that the file gives it.
type named[E any] struct {
	name      string
	extractor E
}

// NewKubernetesNotifications reads `group` (empty: the core group), `version` and `kind` (both required).
func NewKubernetesNotifications(parameters []byte) (*KubernetesNotifications, error) {
	given := struct {
		Group   string `json:"group"`
		Version string `json:"version"`
		Kind    string `json:"kind"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.Version == "" || given.Kind == "" {
		return nil, fmt.Errorf("parameters: version, kind: missing; give both, such as v1 and Pod")
	}
	return &KubernetesNotifications{kind: schema.GroupVersionKind{Group: given.Group, Version: given.Version, Kind: given.Kind}}, nil
}

// attach gives the source an extractor. ok is false for a plugin that takes no objects.
func (n *KubernetesNotifications) attach(extractor *plugin) (ok bool, err error) {
	takes, ok := extractor.built.(datalayer.ObjectExtractor)
	if !ok {
		return false, nil
	}
	if wants := takes.ObjectKind(); wants != n.kind {
		return true, fmt.Errorf("pluginRef: %q reads objects of %s, and these are of %s; refer to it from a source of its kind", extractor.name, wants, n.kind)
	}
	n.extractors = attached(n.extractors, extractor.name, takes)
	return true, nil
}

// Run implements scheduling.Runner.
func (n *KubernetesNotifications) Run(ctx context.Context, pools *datalayer.Pools) error {
	if len(n.extractors) == 0 {
		return nil
	}
	log := pools.Options().Log()
	if n.watcher == nil {
		return errors.New("there is no cluster to watch here; use it with an InferencePool or pods of a cluster")
	}
	return n.watcher.Watch(ctx, n.kind, func(event datalayer.ObjectEvent) {
		for _, to := range n.extractors {
			if err := to.extractor.ExtractObject(ctx, event); err != nil {
				log.Warn("an extractor failed", "plugin", to.name, "kind", n.kind.String(), "object", event.Object.GetNamespace()+"/"+event.Object.GetName(),
					"gone", event.Gone, "error", err)
			}
		}
	})
}

// EndpointNotificationsType is the type of EndpointNotifications.
const EndpointNotificationsType = "endpoint-notification-source"

// EndpointNotifications tells its extractors of endpoints: of all that there are when the configuration comes into force, then of each
// that comes, changes its labels or goes. It is for plugins of your own that keep something about each endpoint: each a
// datalayer.EndpointExtractor that config.RegisterEndpointExtractor, or the function for its other role, has registered. Those of this
// version see endpoints in each request, and precise-prefix-cache-producer follows them without it. Without extractors it has no effect.
type EndpointNotifications struct {
	extractors []named[datalayer.EndpointExtractor]
}

// NewEndpointNotifications takes no parameters.
func NewEndpointNotifications(parameters []byte) (*EndpointNotifications, error) {
	return &EndpointNotifications{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// attach gives the source an extractor. ok is false for a plugin that takes no endpoints.
func (n *EndpointNotifications) attach(extractor *plugin) (ok bool, err error) {
	takes, ok := extractor.built.(datalayer.EndpointExtractor)
	if ok {
		n.extractors = attached(n.extractors, extractor.name, takes)
	}
	return ok, nil
}

// Run implements scheduling.Runner.
func (n *EndpointNotifications) Run(ctx context.Context, pools *datalayer.Pools) error {
	if len(n.extractors) == 0 {
		return nil
	}
	log := pools.Options().Log()
	pools.Follow(ctx, func(event datalayer.EndpointEvent) {
		for _, to := range n.extractors {
			if err := to.extractor.ExtractEndpoint(ctx, event); err != nil {
				log.Warn("an extractor failed", "plugin", to.name, "endpoint", event.Endpoint.Namespace+"/"+event.Endpoint.Name,
					"gone", event.Gone, "error", err)
			}
		}
	})
	return nil
}

// attached is a list with an extractor more, unless it is there already.
func attached[E any](list []named[E], name string, extractor E) []named[E] {
	if slices.ContainsFunc(list, func(known named[E]) bool { return known.name == name }) {
		return list
	}
	return append(list, named[E]{name, extractor})
}

// notifier is a source that tells plugins of events. The plugins need no role of their own for that.
type notifier interface {
	attach(extractor *plugin) (ok bool, err error)
}

// notifies has a source tell a plugin, and tells whether it is one that takes what the source has to tell.
func (c *compiler) notifies(source *plugin, name string) (bool, error) {
	tells, ok := source.built.(notifier)
	found := c.plugins[name]
	if !ok || found == nil {
		return false, nil
	}
	return tells.attach(found)
}

// extractorsFor lists the plugins declared that take what a notifier of the file has to tell.
func (c *compiler) extractorsFor(source *plugin) (out []reference) {
	for _, p := range c.order {
		switch built := source.built.(type) {
		case *EndpointNotifications:
			if _, ok := p.built.(datalayer.EndpointExtractor); ok {
				out = append(out, reference{PluginRef: p.name})
			}
		case *KubernetesNotifications:
			if takes, ok := p.built.(datalayer.ObjectExtractor); ok && takes.ObjectKind() == built.kind {
				out = append(out, reference{PluginRef: p.name})
			}
		}
	}
	return out
}

// Watch has the sources of the configuration watch a cluster. It is called before the configuration is in force.
func (c *Config) Watch(watcher datalayer.Watcher) {
	for _, declared := range c.Plugins {
		if source, ok := declared.Plugin.(*KubernetesNotifications); ok {
			source.watcher = watcher
		}
	}
}

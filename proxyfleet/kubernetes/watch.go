package kubernetes

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/internal/source"
)

func (k kindOf) gvk() schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(k.version, k.kind)
}

// watch hears of every object with our label, for as long as the term lasts.
func (t *term) watch(ctx context.Context, g *errgroup.Group) error {
	informers, err := cache.New(t.opts.Config, t.cacheOptions())
	if err != nil {
		return fmt.Errorf("preparing to watch fleets: %w", err)
	}
	for _, k := range kinds {
		informer, err := informers.GetInformer(ctx, k.empty(), cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("preparing to watch the %s objects of fleets: %w", k.kind, err)
		}
		if _, err := informer.AddEventHandler(t.handler(k.kind)); err != nil {
			return fmt.Errorf("preparing to watch the %s objects of fleets: %w", k.kind, err)
		}
	}
	g.Go(func() error { return informers.Start(ctx) })
	return nil
}

func (t *term) cacheOptions() cache.Options {
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{managedByLabel: managedByValue})}
	o := cache.Options{
		Scheme: t.opts.Client.Scheme(), Mapper: t.opts.Client.RESTMapper(),
		ByObject:         map[client.Object]cache.ByObject{},
		DefaultTransform: cache.TransformStripManagedFields(),
	}
	for _, k := range kinds {
		o.ByObject[k.empty()] = ours
	}
	if len(t.opts.Namespaces) > 0 {
		o.DefaultNamespaces = map[string]cache.Config{}
		for _, namespace := range t.opts.Namespaces {
			o.DefaultNamespaces[namespace] = cache.Config{}
		}
	}
	return o
}

func (t *term) handler(kind string) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { t.heard(kind, o, true) },
		UpdateFunc: func(_, o any) { t.heard(kind, o, true) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			t.heard(kind, o, false)
		},
	}
}

// heard queues the Gateway whose object is not as it was applied.
func (t *term) heard(kind string, object any, exists bool) {
	o, ok := object.(client.Object)
	if !ok {
		return
	}
	controller := metav1.GetControllerOf(o)
	if controller == nil || controller.Kind != "Gateway" {
		return
	}
	key := source.Key{Namespace: o.GetNamespace(), Name: controller.Name}
	s := t.state(key)
	if s == nil {
		return
	}
	live := ""
	if exists {
		var err error
		if live, err = liveFingerprint(o); err != nil {
			live = err.Error() // not as it was applied, whatever it is
		}
	}
	if s.hear(kind, live) {
		t.queue.Add(key)
	}
}

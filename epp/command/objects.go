package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// objectWatcher follows objects of any kind in one namespace of a cluster, for plugins that ask for them.
type objectWatcher struct {
	config    *rest.Config
	namespace string
	log       *slog.Logger
	// first and most are the pauses between two looks for a kind that is not there: they double.
	first, most time.Duration
}

// newObjectWatcher makes one, nil without a cluster.
func (p *pickerProcess) newObjectWatcher() datalayer.Watcher {
	if p.cluster == nil {
		return nil
	}
	return &objectWatcher{config: p.cluster, namespace: p.flags.pool.inNamespace(), log: p.log, first: time.Second, most: time.Minute}
}

// Watch implements datalayer.Watcher.
func (w *objectWatcher) Watch(ctx context.Context, kind schema.GroupVersionKind, take func(datalayer.ObjectEvent)) error {
	client, err := rest.HTTPClientFor(w.config)
	if err != nil {
		return fmt.Errorf("making a client of the API server %s: %w", w.config.Host, err)
	}
	defer utilnet.CloseIdleConnectionsFor(client.Transport)
	reader, err := dynamic.NewForConfigAndClient(w.config, client)
	if err != nil {
		return fmt.Errorf("making a client of the API server %s: %w", w.config.Host, err)
	}
	finder, err := discovery.NewDiscoveryClientForConfigAndClient(w.config, client)
	if err != nil {
		return fmt.Errorf("making a client of the API server %s: %w", w.config.Host, err)
	}
	resource, ok := w.find(ctx, finder, kind)
	if !ok {
		return nil // the context has ended
	}
	namespace := w.namespace
	if !resource.Namespaced {
		namespace = metav1.NamespaceAll
	}
	informer := dynamicinformer.NewFilteredDynamicInformer(reader, kind.GroupVersion().WithResource(resource.Name), namespace, 0, cache.Indexers{}, nil).Informer()
	if err := informer.SetTransform(withoutManagers); err != nil {
		return err
	}
	if _, err := informer.AddEventHandler(handOver(take)); err != nil {
		return err
	}
	informer.RunWithContext(ctx)
	return nil
}

// find looks up what a kind's objects are found under, until it is there or the context ends.
func (w *objectWatcher) find(ctx context.Context, finder discovery.DiscoveryInterfaceWithContext, kind schema.GroupVersionKind) (metav1.APIResource, bool) {
	pause, told := w.first, false
	for {
		resource, err := look(ctx, finder, kind)
		switch {
		case err == nil:
			return resource, true
		case ctx.Err() != nil:
			return resource, false
		case !told:
			told = true
			w.log.Warn("a kind that a plugin asks for cannot be watched yet; it is waited for", "kind", kind.String(), "error", err)
		}
		select {
		case <-ctx.Done():
			return resource, false
		case <-time.After(pause):
		}
		pause = min(2*pause, w.most)
	}
}

// errNotServed is a kind that the API server does not know.
var errNotServed = errors.New("the API server does not serve it")

func look(ctx context.Context, finder discovery.DiscoveryInterfaceWithContext, kind schema.GroupVersionKind) (metav1.APIResource, error) {
	list, err := finder.ServerResourcesForGroupVersionWithContext(ctx, kind.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		err = errNotServed
	}
	if err != nil {
		return metav1.APIResource{}, err
	}
	for _, resource := range list.APIResources {
		if resource.Kind == kind.Kind && !strings.Contains(resource.Name, "/") {
			return resource, nil
		}
	}
	return metav1.APIResource{}, errNotServed
}

// handOver makes events of what an informer tells.
func handOver(take func(datalayer.ObjectEvent)) cache.ResourceEventHandler {
	tell := func(object any, gone bool) {
		if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = last.Obj
		}
		if o, ok := object.(*unstructured.Unstructured); ok {
			take(datalayer.ObjectEvent{Object: o, Gone: gone})
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { tell(object, false) },
		UpdateFunc: func(_, object any) { tell(object, false) },
		DeleteFunc: func(object any) { tell(object, true) },
	}
}

// withoutManagers drops what takes much memory and tells plugins nothing.
func withoutManagers(object any) (any, error) {
	if o, ok := object.(*unstructured.Unstructured); ok {
		o.SetManagedFields(nil)
	}
	return object, nil
}

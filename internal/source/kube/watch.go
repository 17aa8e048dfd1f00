package kube

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/switchyard/switchyard/internal/source"
)

// scope is the part of a kind's objects that one watch covers; the zero value is all of them.
type scope struct {
	namespace string // only objects in it
	name      string // only the object of this name, of a cluster-scoped kind
}

func (s scope) covers(k source.Key) bool {
	return (s.namespace == "" || k.Namespace == s.namespace) && (s.name == "" || k.Name == s.name)
}

// selector restricts lists and watches to the scope. A selector of a namespace makes controller-runtime ask below that
// namespace's path, for which a Role is enough.
func (s scope) selector() fields.Selector {
	switch {
	case s.namespace != "":
		return fields.OneTermEqualSelector("metadata.namespace", s.namespace)
	case s.name != "":
		return fields.OneTermEqualSelector("metadata.name", s.name)
	}
	return fields.Everything()
}

// watch is one informer in a cache of its own, and the changes that its events came to since they were last taken.
type watch struct {
	kind    *kind
	version string
	scope   scope
	log     *slog.Logger
	wake    func() // called after events and changes of health; does not block
	missed  func() // called when the API server does not know the resource; does not block
	metrics *metrics

	cancel   context.CancelFunc
	cache    cache.Cache
	informer toolscache.SharedIndexInformer

	mu       sync.Mutex
	pending  changes
	synced   bool
	listErr  error // of the last try; nil after a success
	watchErr error
}

// startWatch begins to watch; running counts its goroutines, which end when ctx ends or stop is called.
func (s *Source) startWatch(ctx context.Context, k *kind, version string, sc scope, wake, missed func(), running *sync.WaitGroup) (*watch, error) {
	w := &watch{kind: k, version: version, scope: sc, log: s.log, wake: wake, missed: missed, metrics: s.metrics, pending: changes{}}
	var never time.Duration // a resync repeats what is known
	var err error
	w.cache, err = cache.New(s.config, cache.Options{
		HTTPClient: s.client, Scheme: s.scheme, Mapper: s.mapper, SyncPeriod: &never,
		DefaultFieldSelector: sc.selector(), DefaultTransform: w.transform,
		DefaultWatchErrorHandler: w.handleError, NewInformer: w.newInformer,
	})
	if err != nil {
		return nil, fmt.Errorf("make a cache of %s: %w", k.resourceName(), err)
	}
	ctx, w.cancel = context.WithCancel(ctx)
	_, err = w.cache.GetInformerForKind(ctx, k.groupVersion(version).WithKind(k.name), cache.BlockUntilSynced(false))
	if err != nil {
		w.cancel()
		return nil, fmt.Errorf("make an informer of %s: %w", k.resourceName(), err)
	}
	registration, err := w.informer.AddEventHandler(w)
	if err != nil {
		w.cancel()
		return nil, fmt.Errorf("follow the informer of %s: %w", k.resourceName(), err)
	}
	running.Go(func() {
		// Start ends with ctx and has no other error than a second start.
		_ = w.cache.Start(ctx)
	})
	running.Go(func() {
		select {
		case <-registration.HasSyncedChecker().Done():
			w.setSynced()
		case <-ctx.Done():
		}
	})
	return w, nil
}

// stop ends the watch; events that are on their way are never taken.
func (w *watch) stop() { w.cancel() }

// newInformer is how controller-runtime makes the informer: with every list and watch looked at, for an informer
// does not tell when one succeeds after an error.
func (w *watch) newInformer(lw toolscache.ListerWatcher, o runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
	inner := toolscache.ToListerWatcherWithContext(lw)
	w.informer = toolscache.NewSharedIndexInformer(&toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := inner.ListWithContext(ctx, o)
			w.note(ctx, err, &w.listErr)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			events, err := inner.WatchWithContext(ctx, o)
			switch streamed := o.SendInitialEvents != nil; {
			case !streamed:
				w.note(ctx, err, &w.watchErr)
			case err == nil:
				w.note(ctx, nil, &w.listErr, &w.watchErr) // it stands for a list too
			}
			// A streamed list that fails is followed by a plain one, whose result tells more.
			return events, err
		},
	}, o, resync, indexers)
	return w.informer
}

// note keeps the result of a list or watch and wakes the owner when it is another kind of result.
func (w *watch) note(ctx context.Context, err error, of ...*error) {
	if ctx.Err() != nil {
		return
	}
	moved := false
	w.mu.Lock()
	for _, last := range of {
		if forgets(*last, err) {
			moved = moved || apierrors.ReasonForError(*last) != apierrors.ReasonForError(err) || (*last == nil) != (err == nil)
			*last = err
		}
	}
	w.mu.Unlock()
	if err != nil {
		w.metrics.errors.WithLabelValues(w.kind.id()).Inc()
	}
	if moved {
		w.wake()
	}
	if apierrors.IsNotFound(err) {
		w.missed()
	}
}

// forgets tells whether a result says more than the one before. That the API server is away does not mean that it allows
// what it forbade.
func forgets(last, err error) bool {
	return !apierrors.IsForbidden(last) || err == nil || apierrors.IsForbidden(err) || apierrors.IsNotFound(err)
}

// handleError stands in for client-go's handler, which logs every try. The owner logs what changes.
func (w *watch) handleError(_ context.Context, _ *toolscache.Reflector, err error) {
	w.log.Debug("watch is tried again", "resource", w.kind.resourceName(), "namespace", w.scope.namespace, "error", err)
}

// transform trims an object. One that is known in this version already is given back as the one that is known: after the
// API server was away everything is listed again, and would be kept twice, here and in the view.
func (w *watch) transform(in any) (any, error) {
	o, ok := in.(object)
	if !ok {
		return in, nil // what a tombstone holds was trimmed when it came
	}
	key := source.KeyOf(o).String()
	if w.kind.clusterScoped {
		key = o.GetName()
	}
	if stored, exists, err := w.informer.GetStore().GetByKey(key); err == nil && exists {
		if known, ok := stored.(object); ok && known.GetResourceVersion() == o.GetResourceVersion() && known.GetUID() == o.GetUID() && o.GetResourceVersion() != "" {
			return known, nil
		}
	}
	return w.trim(o), nil
}

// OnAdd implements toolscache.ResourceEventHandler.
func (w *watch) OnAdd(o any, _ bool) { w.put(o) }

// OnUpdate implements toolscache.ResourceEventHandler.
func (w *watch) OnUpdate(_, o any) { w.put(o) }

// OnDelete implements toolscache.ResourceEventHandler.
func (w *watch) OnDelete(o any) {
	if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	if gone, ok := o.(object); ok {
		w.change(source.KeyOf(gone), nil)
	}
}

func (w *watch) put(o any) {
	if o, ok := o.(object); ok {
		w.change(source.KeyOf(o), o)
	}
}

func (w *watch) change(k source.Key, o object) {
	w.mu.Lock()
	w.pending[k] = o
	w.mu.Unlock()
	w.wake()
}

func (w *watch) setSynced() {
	w.mu.Lock()
	w.synced = true
	w.mu.Unlock()
	w.wake()
}

// take gives what changed since the last time. Nothing is given before the first list is complete.
func (w *watch) take() (changes, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.synced {
		return nil, false
	}
	if len(w.pending) == 0 {
		return nil, true
	}
	out := w.pending
	w.pending = changes{}
	return out, true
}

// Package writes counts how often a control plane writes statuses, by watching the objects.
//
// It reads only, and asks the API server for a plain watch: a cache in between would merge writes that follow each other closely.
//
//	API server -> list, watch -> counts, and the instant at which a status first said what was waited for
package writes

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// reopenAfter is the pause before a broken watch is opened again.
const reopenAfter = 100 * time.Millisecond

// follower reads one watch until it is stopped, and opens it again when the API server ends it.
type follower struct {
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu            sync.Mutex
	changed       chan struct{} // closed and replaced at each event
	interruptions int
}

// source is a kind of object in one namespace.
type source struct {
	client    client.WithWatch
	namespace string
	list      func() client.ObjectList
}

// open lists, and watches from that version on. A watch without a version would have the API server bring its cache up to date first,
// which takes it seconds with some versions of etcd: just the time that is to be measured.
func (s source) open(ctx context.Context) ([]runtime.Object, watch.Interface, error) {
	list := s.list()
	if err := s.client.List(ctx, list, client.InNamespace(s.namespace)); err != nil {
		return nil, nil, err
	}
	present, err := meta.ExtractList(list)
	if err != nil {
		return nil, nil, err
	}
	from := &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}
	stream, err := s.client.Watch(ctx, s.list(), &client.ListOptions{Namespace: s.namespace, Raw: from})
	return present, stream, err
}

// handler is called under the follower's lock.
type handler func(watch.EventType, runtime.Object, time.Time)

// follow returns after the watch has been opened the first time; the handler has got what was there by then, as added.
func follow(ctx context.Context, log *slog.Logger, from source, handle handler) (*follower, error) {
	ctx, stop := context.WithCancel(ctx)
	f := &follower{stop: stop, changed: make(chan struct{})}
	present, stream, err := from.open(ctx)
	if err != nil {
		stop()
		return nil, err
	}
	f.take(present, handle)
	f.wg.Go(func() {
		for stream != nil {
			why := f.read(ctx, stream, handle)
			if ctx.Err() != nil {
				return
			}
			log.Warn("watch was interrupted", "reason", why)
			stream = f.reopen(ctx, log, from, handle)
		}
	})
	return f, nil
}

func (f *follower) take(present []runtime.Object, handle handler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, object := range present {
		handle(watch.Added, object, time.Now())
	}
	f.signal()
}

// signal wakes those who wait; the lock has to be held.
func (f *follower) signal() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// read returns why the stream ended.
func (f *follower) read(ctx context.Context, stream watch.Interface, handle handler) error {
	defer stream.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, open := <-stream.ResultChan():
			if !open {
				return io.EOF
			}
			if event.Type == watch.Error {
				return apierrors.FromObject(event.Object)
			}
			f.mu.Lock()
			handle(event.Type, event.Object, time.Now())
			f.signal()
			f.mu.Unlock()
		}
	}
}

func (f *follower) reopen(ctx context.Context, log *slog.Logger, from source, handle handler) watch.Interface {
	for ctx.Err() == nil {
		present, stream, err := from.open(ctx)
		if err == nil {
			f.take(present, handle)
			f.mu.Lock()
			f.interruptions++
			f.mu.Unlock()
			return stream
		}
		if ctx.Err() == nil {
			log.Warn("watch could not be opened again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(reopenAfter):
		}
	}
	return nil
}

// await calls holds, under the lock, after each event until it is true.
func (f *follower) await(ctx context.Context, holds func() bool) error {
	for {
		f.mu.Lock()
		done, changed := holds(), f.changed
		f.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// awaitQuiet waits until no event has come for the given time.
func (f *follower) awaitQuiet(ctx context.Context, quiet time.Duration) error {
	for {
		f.mu.Lock()
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(quiet):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *follower) end() {
	f.stop()
	f.wg.Wait()
}

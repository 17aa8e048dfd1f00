package status

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

// Options wire a Writer to its neighbours.
type Options struct {
	// Client writes, through Client.Status(). Its scheme must know Gateway API, InferencePool and package llmd.
	Client client.Client
	// Reader reads an object after a conflict, so it must ask the API server and no cache; default Client.
	Reader     client.Reader
	Controller string                // the name that our entries carry; default gatewayapi.ControllerName
	Registerer prometheus.Registerer // nil: metrics are not registered
	Log        *slog.Logger          // default slog.Default()
	// RoleMayLack tells that a role which does not allow to write is nothing wrong: it is told once, at info, and an object is tried
	// again when its spec changes or ten minutes later.
	RoleMayLack bool
}

// Writer writes statuses. Make one with New, tell it with Want, and give it a goroutine with Run while this
// replica leads.
type Writer struct {
	opts    Options
	metrics *metrics
	running atomic.Bool
	lacking sync.Once     // a role was found lacking
	ready   chan struct{} // wakes Run when there is a newer want

	mu     sync.Mutex
	latest *want
}

// want is what one call of Want brought. It is not changed afterwards.
type want struct {
	objects  *source.Objects
	statuses gatewayapi.Statuses
	since    time.Time
}

// New makes a writer that does nothing yet.
func New(opts Options) *Writer {
	if opts.Reader == nil {
		opts.Reader = opts.Client
	}
	if opts.Controller == "" {
		opts.Controller = gatewayapi.ControllerName
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	return &Writer{opts: opts, metrics: newMetrics(opts.Registerer), ready: make(chan struct{}, 1)}
}

// Want gives the newest wanted statuses with the objects that they were made from. It does not block; a
// newer one replaces an older one, also before Run. Nobody may change either afterwards.
func (w *Writer) Want(objects *source.Objects, statuses gatewayapi.Statuses) {
	w.mu.Lock()
	w.latest = &want{objects: objects, statuses: statuses, since: time.Now()}
	w.mu.Unlock()
	w.wake()
}

func (w *Writer) wake() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (w *Writer) newest() *want {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.latest
}

// Run writes until ctx is done, then ends its requests and returns nil. It may be run again, and starts
// from the newest Want then; two at a time are refused.
func (w *Writer) Run(ctx context.Context) error {
	if !w.running.CompareAndSwap(false, true) {
		return errors.New("statuses are being written already: stop the other Run first")
	}
	defer w.running.Store(false)
	w.wake()
	s := newSchedule(w.opts.Controller, w.metrics, w.opts.Log)
	if w.opts.RoleMayLack {
		s.lacking = &w.lacking
	}
	results := make(chan result, maxInFlight)
	defer func() {
		for range s.flying {
			<-results
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		for j := s.next(time.Now()); j != nil; j = s.next(time.Now()) {
			go func() { results <- w.do(ctx, j) }()
		}
		timer.Reset(time.Until(s.wakeAt(time.Now())))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.ready:
			if latest := w.newest(); latest != nil && latest.objects != nil {
				s.take(latest, time.Now())
			}
		case r := <-results:
			s.done(r, time.Now())
		}
	}
	return nil
}

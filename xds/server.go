package xds

import (
	"context"
	"log/slog"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	envoyresource "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/delta/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/switchyard/switchyard/translate/resource"
)

// Defaults of Options.
const (
	DefaultGateDeadline = time.Second
	DefaultRemovalGrace = 3 * time.Second
	DefaultLagHold      = 2 * time.Second
)

// Options configure a Server. The zero value is usable.
type Options struct {
	// Authorize decides whether a node may have the view that it names; ctx is that of its stream and carries the
	// peer's certificate. An error closes the stream. nil lets everyone in.
	Authorize func(ctx context.Context, node *core.Node) error

	// OnRejection is told of each rejection that is news, OnCleared of each that no longer stands: a newer version was
	// acknowledged, the resource is gone, or the proxy has been away for a minute. They are called without locks held,
	// in the goroutine of the proxy's stream: a slow one delays that proxy.
	OnRejection func(Rejection)
	OnCleared   func(Rejection)

	// GateDeadline bounds how long a listener or a route table waits for what it refers to. Default 1 s.
	GateDeadline time.Duration
	// RemovalGrace passes between the moment when nothing refers to a resource any more and its removal. Default 3 s.
	RemovalGrace time.Duration
	// LagHold is how long a resource is left alone when a proxy has a version of it that this replica has never
	// produced: another replica may be ahead. Default 2 s.
	LagHold time.Duration

	Clock      Clock                 // default: the wall clock
	Registerer prometheus.Registerer // nil: metrics are not registered
	Logger     *slog.Logger          // default: slog.Default()
}

func (o Options) withDefaults() Options {
	if o.GateDeadline == 0 {
		o.GateDeadline = DefaultGateDeadline
	}
	if o.RemovalGrace == 0 {
		o.RemovalGrace = DefaultRemovalGrace
	}
	if o.LagHold == 0 {
		o.LagHold = DefaultLagHold
	}
	if o.Clock == nil {
		o.Clock = wallClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Server serves views over delta ADS. Its methods may be called concurrently.
//
// Locks are taken in this order: setting, conn.mu, mu. The callbacks of Options run outside all of them.
type Server struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer

	opts    Options
	metrics *metrics
	ctx     context.Context // ends the streams
	stop    context.CancelFunc

	setting sync.Mutex // held while one view changes, so that connections see changes in order

	mu     sync.Mutex
	closed bool
	views  map[string]*viewState
	conns  map[*conn]struct{}
	nextID int64

	streams    sync.WaitGroup
	rejections rejections
	progress   progress
}

// viewState is a view and who has it. A view that is removed, or not set yet, is kept while a proxy asks for it.
type viewState struct {
	last    *generation
	live    bool // false: proxies keep what they have and are sent nothing
	setting bool // SetView is at work on it: not to be forgotten
	history history
	conns   map[*conn]struct{}
}

// New makes a server without views.
func New(opts Options) *Server {
	opts = opts.withDefaults()
	ctx, stop := context.WithCancel(context.Background())
	return &Server{
		opts:       opts,
		metrics:    newMetrics(opts.Registerer),
		ctx:        ctx,
		stop:       stop,
		views:      map[string]*viewState{},
		conns:      map[*conn]struct{}{},
		rejections: rejections{set: map[rejectionKey]*standingRejection{}},
	}
}

// Register adds the aggregated discovery service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	discovery.RegisterAggregatedDiscoveryServiceServer(r, s)
}

// StreamAggregatedResources refuses the state-of-the-world protocol: it has no versions per resource, so neither a
// silent reconnection nor an order per reference can be had with it.
func (s *Server) StreamAggregatedResources(discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return status.Error(codes.Unimplemented,
		"the state-of-the-world protocol is not served; set api_type: DELTA_GRPC in the proxy's ads_config")
}

// DeltaAggregatedResources serves one proxy until its stream ends. Each stream has a delta server of its own, whose
// cache and callbacks are the connection: so requests, order and knowledge belong to one proxy by construction.
func (s *Server) DeltaAggregatedResources(stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	if !s.enter() {
		return status.Error(codes.Unavailable, "the control plane is shutting down")
	}
	defer s.streams.Done()
	c := newConn(s, stream.Context())
	defer c.close()
	return delta.NewServer(s.ctx, c, c).DeltaStreamHandler(stream, envoyresource.AnyType)
}

// enter counts a stream in, unless the server is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.streams.Add(1)
	return true
}

// SetView replaces a view and sends each of its proxies what changed. The view and its resources must not be changed
// afterwards. It does not wait for the proxies.
func (s *Server) SetView(view *resource.View) {
	s.setting.Lock()
	now := s.opts.Clock.Now()
	s.mu.Lock()
	vs := s.viewLocked(view.Name)
	before := vs.last
	vs.setting = true
	s.mu.Unlock()

	ch := nextGeneration(before, view, now) // O(view), so outside mu
	vs.history.record(ch)

	s.mu.Lock()
	vs.last, vs.live, vs.setting = ch.to, true, false
	conns := vs.listConns()
	s.mu.Unlock()
	var events []func()
	for _, c := range conns {
		events = append(events, c.onChange(ch)...)
	}
	s.setting.Unlock()
	for _, f := range events {
		f()
	}
	s.progress.announce()
	s.sweepRejections(view.Name, ch.to)
}

// RemoveView forgets a view. Its proxies keep what they have and are sent nothing, neither updates nor removals, until
// a view of that name is set again: a Gateway that is gone takes its proxies with it, and one that is gone by mistake
// must not take the traffic.
func (s *Server) RemoveView(name string) {
	s.setting.Lock()
	defer s.setting.Unlock()
	s.mu.Lock()
	vs := s.views[name]
	if vs == nil {
		s.mu.Unlock()
		return
	}
	vs.live = false
	conns := vs.listConns()
	if len(conns) == 0 {
		delete(s.views, name)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.pause()
	}
}

// Rejections gives the rejections that stand now, ordered by view, resource and node.
func (s *Server) Rejections() []Rejection {
	s.sweepRejections("", nil)
	return s.rejections.list()
}

// Shutdown ends all streams and waits for them, or for ctx. The proxies keep their configuration.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	done := make(chan struct{})
	go func() {
		s.streams.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// viewLocked finds or makes the state of a view; the caller holds mu.
func (s *Server) viewLocked(name string) *viewState {
	vs := s.views[name]
	if vs == nil {
		vs = &viewState{last: emptyGeneration(name), conns: map[*conn]struct{}{}}
		s.views[name] = vs
	}
	return vs
}

func (vs *viewState) listConns() []*conn {
	out := make([]*conn, 0, len(vs.conns))
	for c := range vs.conns {
		out = append(out, c)
	}
	return out
}

// join adds a connection to its view and tells it where the view stands. The caller holds c.mu, so that the next
// change reaches the connection after this.
func (s *Server) join(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	vs := s.viewLocked(c.viewName)
	vs.conns[c] = struct{}{}
	s.conns[c] = struct{}{}
	s.nextID++
	c.id = s.nextID
	c.state, c.view, c.live = vs, vs.last, vs.live
	s.metrics.proxies.Set(float64(len(s.conns)))
}

// leave is the end of a connection.
func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.metrics.proxies.Set(float64(len(s.conns)))
	delete(c.state.conns, c)
	if len(c.state.conns) == 0 && !c.state.live && !c.state.setting {
		delete(s.views, c.viewName)
	}
	for other := range c.state.conns {
		if other.nodeID == c.nodeID {
			return // the proxy is back already
		}
	}
	s.rejections.depart(c.viewName, c.nodeID, s.opts.Clock.Now())
}

// sweepRejections ends the rejections of proxies that have been away too long, and those of absent proxies whose
// rejected version is not wanted any more in the named view.
func (s *Server) sweepRejections(view string, g *generation) {
	now := s.opts.Clock.Now()
	over := s.rejections.take(func(k rejectionKey, r *standingRejection) bool {
		if r.gone.IsZero() {
			return false
		}
		if now.Sub(r.gone) >= departedRejection {
			return true
		}
		if g == nil || k.view != view {
			return false
		}
		wanted := g.get(k.key)
		return wanted == nil || wanted.Version != r.Version
	})
	s.reportCleared(over)
}

func (s *Server) reportCleared(list []Rejection) {
	if s.opts.OnCleared == nil {
		return
	}
	for _, r := range list {
		s.opts.OnCleared(r)
	}
}

// listConns gives the connections, oldest first.
func (s *Server) listConns() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		out = append(out, c)
	}
	sortConns(out)
	return out
}

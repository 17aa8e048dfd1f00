package epp

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/switchyard/switchyard/epp/extproc"
)

// Service names of health checks. The empty name, readiness and the ext_proc service tell whether requests should come here.
// Liveness tells that the process works, whatever it waits for: a picker without pools, or one that drains, is not to be
// killed. Without leader election any other name, such as inference-extension, tells whether the pool is known.
const (
	readiness = "readiness"
	liveness  = "liveness"
)

// watchInterval is how often a watched state is looked at, for causes that do not announce themselves.
const watchInterval = 250 * time.Millisecond

// health serves grpc.health.v1 from the picker's own state.
type health struct {
	healthv1.UnimplementedHealthServer
	// reachable is ready without what other replicas and plugins have to say.
	reachable, ready func() bool
	leaderElection   bool
	// lingers: the ext_proc service stays ready until stopped, whatever else is not.
	lingers atomic.Bool

	mu sync.Mutex
	// change is closed, and replaced, when the state may have changed.
	change chan struct{}

	// stopped is closed when the server is about to stop.
	stopped  chan struct{}
	stopOnce sync.Once
}

func newHealth(reachable, ready func() bool, leaderElection bool) *health {
	return &health{reachable: reachable, ready: ready, leaderElection: leaderElection,
		change: make(chan struct{}), stopped: make(chan struct{})}
}

func (h *health) register(registrar grpc.ServiceRegistrar) {
	healthv1.RegisterHealthServer(registrar, h)
}

// changed wakes those who watch.
func (h *health) changed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.change)
	h.change = make(chan struct{})
}

// linger has the ext_proc service stay ready, if it is, until stop.
func (h *health) linger() { h.lingers.Store(h.ready()) }

// stop ends the watches, which would hold up a graceful stop.
func (h *health) stop() {
	h.lingers.Store(false)
	h.stopOnce.Do(func() { close(h.stopped) })
}

func (h *health) changes() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.change
}

func (h *health) status(service string) healthv1.HealthCheckResponse_ServingStatus {
	serving := false
	switch service {
	case liveness:
		serving = true
	case "", readiness:
		serving = h.ready()
	case extproc.ServiceName:
		serving = h.ready() || h.lingers.Load()
	default:
		if h.leaderElection {
			return healthv1.HealthCheckResponse_SERVICE_UNKNOWN
		}
		serving = h.reachable()
	}
	if serving {
		return healthv1.HealthCheckResponse_SERVING
	}
	return healthv1.HealthCheckResponse_NOT_SERVING
}

// Check implements grpc.health.v1. A name that is not known is answered with that status and no error, as pickers do.
func (h *health) Check(_ context.Context, request *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	return &healthv1.HealthCheckResponse{Status: h.status(request.GetService())}, nil
}

// List implements grpc.health.v1.
func (h *health) List(context.Context, *healthv1.HealthListRequest) (*healthv1.HealthListResponse, error) {
	statuses := map[string]*healthv1.HealthCheckResponse{}
	for _, service := range []string{"", readiness, liveness, extproc.ServiceName} {
		statuses[service] = &healthv1.HealthCheckResponse{Status: h.status(service)}
	}
	return &healthv1.HealthListResponse{Statuses: statuses}, nil
}

// Watch implements grpc.health.v1: the state now, and each change.
func (h *health) Watch(request *healthv1.HealthCheckRequest, stream grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	told := healthv1.HealthCheckResponse_UNKNOWN
	for {
		change := h.changes()
		if current := h.status(request.GetService()); current != told {
			told = current
			if err := stream.Send(&healthv1.HealthCheckResponse{Status: current}); err != nil {
				return err
			}
		}
		select {
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case <-h.stopped:
			return status.Error(codes.Unavailable, "the picker is stopping")
		case <-change:
		case <-tick.C:
		}
	}
}

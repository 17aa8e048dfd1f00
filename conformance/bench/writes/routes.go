package writes

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// RouteCounts of all HTTPRoutes of a namespace.
type RouteCounts struct {
	// Status counts versions whose status differs from that of the version before of the same route.
	Status int `json:"statusWrites"`
	// MostOnOne is the largest number of them on a single route.
	MostOnOne     int `json:"mostOnOneRoute"`
	Interruptions int `json:"watchInterruptions"`
}

// Routes watches the HTTPRoutes of one namespace.
type Routes struct {
	follower *follower
	routes   map[types.UID]*route
	accepted int
	at       time.Time
}

type route struct {
	status   gatewayv1.HTTPRouteStatus
	writes   int
	accepted bool
}

// WatchRoutes starts to count.
func WatchRoutes(ctx context.Context, c client.WithWatch, namespace string, log *slog.Logger) (*Routes, error) {
	r := &Routes{routes: map[types.UID]*route{}}
	from := source{client: c, namespace: namespace, list: func() client.ObjectList { return &gatewayv1.HTTPRouteList{} }}
	var err error
	if r.follower, err = follow(ctx, log, from, r.see); err != nil {
		return nil, fmt.Errorf("watch HTTPRoutes of %s: %w", namespace, err)
	}
	return r, nil
}

func (r *Routes) see(kind watch.EventType, object runtime.Object, at time.Time) {
	seen, ok := object.(*gatewayv1.HTTPRoute)
	if !ok {
		return
	}
	key := uid(seen)
	known := r.routes[key]
	if known == nil {
		known = &route{}
		r.routes[key] = known
		if kind == watch.Added {
			// What a route has when it is first seen was there before, or is its empty beginning.
			known.status = seen.Status
		}
	}
	if !equality.Semantic.DeepEqual(known.status, seen.Status) && kind != watch.Deleted {
		known.writes++
		known.status = seen.Status
	}
	was := known.accepted
	known.accepted = kind != watch.Deleted && accepted(seen.Status)
	if known.accepted != was {
		r.at = at
		r.accepted += map[bool]int{true: 1, false: -1}[known.accepted]
	}
}

// uid falls back to the name where an object has none, as in tests without an API server.
func uid(r *gatewayv1.HTTPRoute) types.UID {
	if r.UID != "" {
		return r.UID
	}
	return types.UID(r.Name)
}

func accepted(status gatewayv1.HTTPRouteStatus) bool {
	for _, parent := range status.Parents {
		if meta.IsStatusConditionTrue(parent.Conditions, string(gatewayv1.RouteConditionAccepted)) {
			return true
		}
	}
	return false
}

// AwaitAccepted returns the instant at which so many routes were Accepted by a parent.
func (r *Routes) AwaitAccepted(ctx context.Context, want int) (time.Time, error) {
	var at time.Time
	var now int
	err := r.follower.await(ctx, func() bool {
		now, at = r.accepted, r.at
		return now >= want
	})
	if err != nil {
		return at, fmt.Errorf("%d of %d HTTPRoutes are Accepted: %w", now, want, err)
	}
	return at, nil
}

// Quiet waits until no route has been written for that long.
func (r *Routes) Quiet(ctx context.Context, quiet time.Duration) error {
	return r.follower.awaitQuiet(ctx, quiet)
}

// Stop ends the watch and returns what was counted.
func (r *Routes) Stop() RouteCounts {
	r.follower.end()
	counts := RouteCounts{Interruptions: r.follower.interruptions}
	for _, known := range r.routes {
		counts.Status += known.writes
		counts.MostOnOne = max(counts.MostOnOne, known.writes)
	}
	return counts
}

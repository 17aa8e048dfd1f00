package writes

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Counts of one Gateway.
type Counts struct {
	// Status counts versions of the object whose status differs from that of the version before.
	Status int `json:"statusWrites"`
	// Attached counts those in which attachedRoutes of the first listener differs.
	Attached int `json:"attachedRoutesWrites"`
	// Values are what attachedRoutes was, in that order.
	Values []int32 `json:"attachedRoutesValues"`
	// Interruptions of the watch: writes may have been missed.
	Interruptions int `json:"watchInterruptions"`
}

// Gateway watches one Gateway. All its methods may be called from any goroutine.
type Gateway struct {
	follower *follower
	key      client.ObjectKey
	seen     bool
	status   gatewayv1.GatewayStatus
	at       time.Time
	counts   Counts
}

// WatchGateway starts to count from the Gateway's present status.
func WatchGateway(ctx context.Context, c client.WithWatch, key client.ObjectKey, log *slog.Logger) (*Gateway, error) {
	g := &Gateway{key: key}
	var err error
	from := source{client: c, namespace: key.Namespace, list: func() client.ObjectList { return &gatewayv1.GatewayList{} }}
	if g.follower, err = follow(ctx, log, from, g.see); err != nil {
		return nil, fmt.Errorf("watch Gateway %s: %w", key, err)
	}
	return g, nil
}

func (g *Gateway) see(kind watch.EventType, object runtime.Object, at time.Time) {
	gateway, ok := object.(*gatewayv1.Gateway)
	if !ok || gateway.Name != g.key.Name || kind == watch.Deleted {
		return
	}
	if !g.seen {
		g.seen, g.status = true, gateway.Status
		return
	}
	if equality.Semantic.DeepEqual(gateway.Status, g.status) {
		return
	}
	g.counts.Status++
	if now := attached(gateway.Status); now != attached(g.status) {
		g.counts.Attached++
		g.counts.Values = append(g.counts.Values, now)
		g.at = at
	}
	g.status = gateway.Status
}

func attached(status gatewayv1.GatewayStatus) int32 {
	if len(status.Listeners) == 0 {
		return 0
	}
	return status.Listeners[0].AttachedRoutes
}

// Await returns the instant at which the count of attached routes became the wanted one; the zero instant when it never was another.
func (g *Gateway) Await(ctx context.Context, want int) (time.Time, error) {
	var at time.Time
	now := int32(-1)
	err := g.follower.await(ctx, func() bool {
		now, at = attached(g.status), g.at
		return g.seen && now == int32(want)
	})
	if err != nil {
		return at, fmt.Errorf("attachedRoutes of Gateway %s is %d and was to become %d: %w", g.key, now, want, err)
	}
	return at, nil
}

// Quiet waits until the Gateway has not been written for that long.
func (g *Gateway) Quiet(ctx context.Context, quiet time.Duration) error {
	return g.follower.awaitQuiet(ctx, quiet)
}

// Stop ends the watch and returns what was counted.
func (g *Gateway) Stop() Counts {
	g.follower.end()
	g.counts.Interruptions = g.follower.interruptions
	return g.counts
}

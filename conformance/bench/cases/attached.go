package cases

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/conformance/bench/results"
	"github.com/switchyard/switchyard/conformance/bench/stage"
	"github.com/switchyard/switchyard/conformance/bench/stats"
	"github.com/switchyard/switchyard/conformance/bench/writes"
)

// setUp makes the routes of the population and waits for the Gateway to count them all.
func (b *Bench) setUp(ctx context.Context) (*results.Attached, error) {
	if b.Routes == 0 {
		return nil, nil
	}
	b.Log.Info("attached: set-up", "routes", b.Routes)
	if err := b.settle(ctx, 0); err != nil {
		return nil, fmt.Errorf("before the set-up: %w", err)
	}
	phase, err := b.phase(ctx, b.Routes, b.Stage.MakePopulationRoutes)
	if err != nil {
		return nil, fmt.Errorf("set-up: %w", err)
	}
	b.Log.Info("attached: set-up done", "afterLastCreateMs", phase.AttachedMs, "gatewayStatusWrites", phase.Gateway.Status)
	return &results.Attached{Routes: b.Routes, Setup: *phase}, nil
}

// tearDown deletes them and waits for the Gateway to count none.
func (b *Bench) tearDown(ctx context.Context) (*results.Phase, error) {
	b.Log.Info("attached: tear-down", "routes", b.Routes)
	if err := b.settle(ctx, b.Routes); err != nil {
		return nil, fmt.Errorf("before the tear-down: %w", err)
	}
	phase, err := b.phase(ctx, 0, b.Stage.DeletePopulationRoutes)
	if err != nil {
		return nil, fmt.Errorf("tear-down: %w", err)
	}
	b.Log.Info("attached: tear-down done", "afterLastDeleteMs", phase.AttachedMs, "gatewayStatusWrites", phase.Gateway.Status)
	return phase, nil
}

// settle waits until what was done before has reached the statuses, so that its writes are not counted with the next ones.
func (b *Bench) settle(ctx context.Context, attached int) error {
	if err := b.Stage.AwaitAttached(ctx, attached); err != nil {
		return err
	}
	key := client.ObjectKey{Namespace: b.Stage.Namespace, Name: stage.GatewayName}
	gateway, err := writes.WatchGateway(ctx, b.Stage.Client, key, b.Log)
	if err != nil {
		return err
	}
	defer gateway.Stop()
	ctx, cancel := context.WithTimeout(ctx, b.Stage.Patience)
	defer cancel()
	return gateway.Quiet(ctx, b.Quiet)
}

// phase does the requests and waits until so many routes are attached, then until no status is written any more: writes that come after
// the count is right are writes, too.
func (b *Bench) phase(ctx context.Context, want int, requests func(context.Context, int) error) (*results.Phase, error) {
	key := client.ObjectKey{Namespace: b.Stage.Namespace, Name: stage.GatewayName}
	gateway, err := writes.WatchGateway(ctx, b.Stage.Client, key, b.Log)
	if err != nil {
		return nil, err
	}
	defer gateway.Stop()
	routes, err := writes.WatchRoutes(ctx, b.Stage.Client, b.Stage.Namespace, b.Log)
	if err != nil {
		return nil, err
	}
	defer routes.Stop()

	begin := time.Now()
	if err := requests(ctx, b.Routes); err != nil {
		return nil, err
	}
	returned := time.Now()
	ctx, cancel := context.WithTimeout(ctx, b.Stage.Patience)
	defer cancel()
	attached, err := gateway.Await(ctx, want)
	if err != nil {
		return nil, err
	}
	phase := &results.Phase{RequestsMs: since(begin, returned), AttachedMs: since(returned, attached)}
	if want > 0 {
		accepted, err := routes.AwaitAccepted(ctx, want)
		if err != nil {
			return nil, err
		}
		phase.AcceptedMs = since(returned, accepted)
	}
	if err := b.quiet(ctx, gateway, routes); err != nil {
		return nil, err
	}
	phase.Gateway, phase.Routes = gateway.Stop(), routes.Stop()
	return phase, nil
}

func (b *Bench) quiet(ctx context.Context, gateway *writes.Gateway, routes *writes.Routes) error {
	if err := gateway.Quiet(ctx, b.Quiet); err != nil {
		return fmt.Errorf("the Gateway's status is still being written: %w", err)
	}
	if err := routes.Quiet(ctx, b.Quiet); err != nil {
		return fmt.Errorf("the routes' statuses are still being written: %w", err)
	}
	return nil
}

// since is not negative: what came before the last request had returned took no time after it.
func since(begin, end time.Time) float64 {
	return max(stats.Milliseconds(end.Sub(begin)), 0)
}

// Package pretend is a control plane, proxy and backend in one, just good enough to be measured, whose mistakes are ordered by a test.
//
// It works against any API client, a fake one too. It must not be taken for an implementation: one host, one prefix, one header filter.
//
//	Gateways, HTTPRoutes -> statuses, and a table from which an HTTP server answers as the echo server would
package pretend

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Controller is the name in GatewayClasses.
const Controller = "example.com/pretend"

// Mistakes to make. The zero value makes none.
type Mistakes struct {
	// Answer replaces the n-th answer (from 0) to requests for a host by the given status code; 0 leaves it right.
	Answer func(host string, n int) int
	// DropHeader leaves out the response header of the n-th answer (from 0) that came from the backend for a host.
	DropHeader func(host string, n int) bool
	// Lag is how long after a change the old routes still answer.
	Lag time.Duration
	// TwiceStatus writes each Gateway status once more than needed.
	TwiceStatus bool
	// Deaf accepts no routes.
	Deaf bool
}

// Plane is running until Stop.
type Plane struct {
	client   client.WithWatch
	mistakes Mistakes
	server   *httptest.Server
	table    table
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	failed   error
}

// Start watches and serves.
func Start(ctx context.Context, c client.WithWatch, mistakes Mistakes) (*Plane, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &Plane{client: c, mistakes: mistakes, cancel: cancel}
	wake := make(chan struct{}, 1)
	for _, list := range []client.ObjectList{&gatewayv1.GatewayList{}, &gatewayv1.HTTPRouteList{}, &appsv1.DeploymentList{}} {
		stream, err := c.Watch(ctx, list)
		if err != nil {
			cancel()
			p.wg.Wait()
			return nil, fmt.Errorf("watch: %w", err)
		}
		p.wg.Go(func() { forward(ctx, stream, wake) })
	}
	p.server = httptest.NewServer(&p.table)
	p.table.mistakes = mistakes
	p.wg.Go(func() { p.run(ctx, wake) })
	return p, nil
}

// Address is where the proxy listens.
func (p *Plane) Address() string { return p.server.Listener.Addr().String() }

// Stop ends all of it and tells what went wrong.
func (p *Plane) Stop() error {
	p.cancel()
	p.wg.Wait()
	p.server.Close()
	return p.failed
}

// forward says that something changed, not what.
func forward(ctx context.Context, stream watch.Interface, wake chan<- struct{}) {
	defer stream.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-stream.ResultChan():
			if !open {
				return
			}
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	}
}

func (p *Plane) run(ctx context.Context, wake <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
		err := p.reconcile(ctx)
		if err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			p.failed = err
			return
		}
	}
}

func (p *Plane) reconcile(ctx context.Context) error {
	var gateways gatewayv1.GatewayList
	var routes gatewayv1.HTTPRouteList
	var deployments appsv1.DeploymentList
	for _, list := range []client.ObjectList{&gateways, &routes, &deployments} {
		if err := p.client.List(ctx, list); err != nil {
			return err
		}
	}
	for i := range deployments.Items {
		if err := p.deployment(ctx, &deployments.Items[i]); err != nil {
			return err
		}
	}
	if p.mistakes.Deaf {
		routes.Items = nil
	}
	p.serve(ctx, routes.Items)
	for i := range routes.Items {
		if err := p.accept(ctx, &routes.Items[i]); err != nil {
			return err
		}
	}
	for i := range gateways.Items {
		if err := p.gateway(ctx, &gateways.Items[i], len(routes.Items)); err != nil {
			return err
		}
	}
	return nil
}

// serve makes the routes answer, now or after the lag.
func (p *Plane) serve(ctx context.Context, items []gatewayv1.HTTPRoute) {
	// The items are written to when their statuses are, while the table may be read.
	routes := make([]gatewayv1.HTTPRoute, len(items))
	for i := range items {
		items[i].DeepCopyInto(&routes[i])
	}
	if p.mistakes.Lag == 0 {
		p.table.set(routes)
		return
	}
	p.wg.Go(func() {
		select {
		case <-time.After(p.mistakes.Lag):
			p.table.set(routes)
		case <-ctx.Done():
		}
	})
}

// deployment is as ready as it is asked to be.
func (p *Plane) deployment(ctx context.Context, d *appsv1.Deployment) error {
	if d.Status.AvailableReplicas == *d.Spec.Replicas {
		return nil
	}
	d.Status.AvailableReplicas = *d.Spec.Replicas
	return p.client.Status().Update(ctx, d)
}

func (p *Plane) accept(ctx context.Context, r *gatewayv1.HTTPRoute) error {
	if len(r.Status.Parents) > 0 {
		return nil
	}
	r.Status.Parents = []gatewayv1.RouteParentStatus{{
		ParentRef: r.Spec.ParentRefs[0], ControllerName: Controller,
		Conditions: []metav1.Condition{yes(string(gatewayv1.RouteConditionAccepted))},
	}}
	return p.client.Status().Update(ctx, r)
}

func (p *Plane) gateway(ctx context.Context, g *gatewayv1.Gateway, routes int) error {
	if len(g.Status.Listeners) > 0 && g.Status.Listeners[0].AttachedRoutes == int32(routes) {
		return nil
	}
	address := gatewayv1.IPAddressType
	g.Status.Addresses = []gatewayv1.GatewayStatusAddress{{Type: &address, Value: "127.0.0.1"}}
	g.Status.Conditions = []metav1.Condition{yes(string(gatewayv1.GatewayConditionProgrammed))}
	g.Status.Listeners = []gatewayv1.ListenerStatus{{Name: g.Spec.Listeners[0].Name, AttachedRoutes: int32(routes)}}
	if err := p.client.Status().Update(ctx, g); err != nil || !p.mistakes.TwiceStatus {
		return err
	}
	g.Status.Conditions[0].Message = fmt.Sprintf("%d routes", routes)
	return p.client.Status().Update(ctx, g)
}

func yes(kind string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: kind, LastTransitionTime: metav1.Now()}
}

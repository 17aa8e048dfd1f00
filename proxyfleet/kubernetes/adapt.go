package kubernetes

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// adapt changes the wanted object where the live one has a say; unmet says what cannot be had.
func (t *term) adapt(ctx context.Context, wanted, live client.Object) (unmet, err error) {
	switch wanted := wanted.(type) {
	case *appsv1.Deployment:
		live := live.(*appsv1.Deployment)
		keepDrainer(wanted, live)
		if wanted.Spec.Replicas == nil && live.Spec.Replicas != nil && ownsReplicas(live) {
			return nil, t.handOverReplicas(ctx, live)
		}
	case *corev1.Service:
		live := live.(*corev1.Service)
		return keepClass(wanted, live), t.dropPorts(ctx, wanted, live)
	}
	return nil, nil
}

// keepClass keeps the load balancer class, which cannot change while the Service is one for a load balancer: it
// may have been set by an admission webhook. When another is wanted it says what to do about it: to make the
// Service anew would take its address away, which is for the user to decide.
func keepClass(wanted, live *corev1.Service) error {
	const lb = corev1.ServiceTypeLoadBalancer
	if wanted.Spec.Type != lb || live.Spec.Type != lb {
		return nil
	}
	is, want := live.Spec.LoadBalancerClass, wanted.Spec.LoadBalancerClass
	wanted.Spec.LoadBalancerClass = is
	if want == nil || (is != nil && *is == *want) {
		return nil
	}
	have := "none"
	if is != nil {
		have = *is
	}
	return fmt.Errorf("%s: the load balancer class cannot change from %s to %s; delete the Service to have it made anew, with another address",
		describe(wanted), have, *want)
}

// dropPorts takes away the ports that a Service should not have. A server-side apply takes away only its own, and
// is refused altogether when somebody has changed the number of a port: then two have the same name.
func (t *term) dropPorts(ctx context.Context, wanted, live *corev1.Service) error {
	unwanted := func(p corev1.ServicePort) bool {
		return !slices.ContainsFunc(wanted.Spec.Ports, func(w corev1.ServicePort) bool {
			return w.Port == p.Port && w.Protocol == cmp.Or(p.Protocol, corev1.ProtocolTCP)
		})
	}
	if !slices.ContainsFunc(live.Spec.Ports, unwanted) {
		return nil
	}
	mended := live.DeepCopy()
	mended.Spec.Ports = slices.DeleteFunc(mended.Spec.Ports, unwanted)
	if len(mended.Spec.Ports) == 0 { // a Service must have one
		mended.Spec.Ports = slices.Clone(wanted.Spec.Ports)
	}
	err := t.opts.Client.Patch(ctx, mended, client.MergeFromWithOptions(live, client.MergeFromWithOptimisticLock{}), client.FieldOwner(FieldManager))
	t.metrics.wrote("patch", "Service", err)
	if err != nil {
		return fmt.Errorf("taking ports away from %s: %w", describe(wanted), err)
	}
	return nil
}

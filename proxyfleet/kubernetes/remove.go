package kubernetes

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// kindOf is one kind of a fleet's objects.
type kindOf struct {
	version, kind string
	empty         func() client.Object
}

// kinds are those of a fleet, in the order in which they are taken away: what brings traffic first.
var kinds = []kindOf{
	{"v1", "Service", func() client.Object { return &corev1.Service{} }},
	{"autoscaling/v2", "HorizontalPodAutoscaler", func() client.Object { return &autoscalingv2.HorizontalPodAutoscaler{} }},
	{"apps/v1", "Deployment", func() client.Object { return &appsv1.Deployment{} }},
	{"policy/v1", "PodDisruptionBudget", func() client.Object { return &policyv1.PodDisruptionBudget{} }},
	{"v1", "ConfigMap", func() client.Object { return &corev1.ConfigMap{} }},
	{"v1", "Secret", func() client.Object { return &corev1.Secret{} }},
	{"v1", "ServiceAccount", func() client.Object { return &corev1.ServiceAccount{} }},
}

// autoscalerKind is the one that a fleet may lose again. A Service stays when its Gateway has no port any more, for
// its address would go with it.
var autoscalerKind = kinds[1]

// emptyLike gives an empty object of the kind that o is of.
func emptyLike(o client.Object) client.Object {
	gvk := o.GetObjectKind().GroupVersionKind()
	for _, k := range kinds {
		if k.gvk() == gvk {
			return k.empty()
		}
	}
	panic("no fleet has a " + gvk.String())
}

// named gives an empty object of a kind.
func (k kindOf) named(key source.Key) client.Object {
	o := k.empty()
	o.SetNamespace(key.Namespace)
	o.SetName(model.FleetName(key.Name))
	o.GetObjectKind().SetGroupVersionKind(k.gvk())
	return o
}

// removeFleet deletes what was made for a Gateway that is not ours any more.
func (t *term) removeFleet(ctx context.Context, w wanted, s *state) error {
	s.mu.Lock()
	done := s.removed
	s.mu.Unlock()
	if done {
		return nil
	}
	var err error
	for _, k := range kinds {
		err = errors.Join(err, t.deleteOurs(ctx, k.named(w.key), w.uid))
	}
	if err == nil {
		s.mu.Lock()
		s.removed, s.known, s.signed = true, nil, ""
		s.mu.Unlock()
	}
	return err
}

// ensureAbsent deletes an object that the fleet is to be without, and remembers that it is gone.
func (t *term) ensureAbsent(ctx context.Context, k kindOf, w wanted, s *state) error {
	if r, ok := s.record(k.kind); ok && r.wanted == "" {
		return nil
	}
	since := s.heardOf(k.kind)
	if err := t.deleteOurs(ctx, k.named(w.key), w.uid); err != nil {
		return err
	}
	return s.learn(k.kind, record{}, since)
}

// deleteOurs deletes an object that carries both our label and the Gateway's UID as its owner's, and leaves any
// other alone.
func (t *term) deleteOurs(ctx context.Context, o client.Object, uid types.UID) error {
	kind, what := o.GetObjectKind().GroupVersionKind().Kind, describe(o)
	err := t.opts.Client.Get(ctx, client.ObjectKeyFromObject(o), o)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", what, err)
	}
	controller := metav1.GetControllerOf(o)
	if o.GetLabels()[managedByLabel] != managedByValue || controller == nil || controller.UID != uid || o.GetDeletionTimestamp() != nil {
		return nil
	}
	live := o.GetUID()
	err = client.IgnoreNotFound(t.opts.Client.Delete(ctx, o,
		client.Preconditions{UID: &live}, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	t.metrics.wrote("delete", kind, err)
	if err != nil {
		return fmt.Errorf("deleting %s: %w", what, err)
	}
	t.opts.Log.Info("deleted", "object", what)
	return nil
}

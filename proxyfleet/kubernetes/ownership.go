package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// errForeign is wrapped by errors about objects that somebody else has made.
var errForeign = errors.New("was not made for this Gateway and is left alone; delete or rename it, or rename the Gateway")

// describe names an object in messages.
func describe(o client.Object) string {
	return fmt.Sprintf("%s %s/%s", o.GetObjectKind().GroupVersionKind().Kind, o.GetNamespace(), o.GetName())
}

// checkOwner refuses an object that was not made for the Gateway of that UID, and waits for one that is on its way
// out.
func checkOwner(live client.Object, uid types.UID, what string) error {
	controller := metav1.GetControllerOf(live)
	labelled := live.GetLabels()[managedByLabel] == managedByValue
	switch {
	case live.GetDeletionTimestamp() != nil:
		return waitFor("%s is being deleted", what)
	case controller != nil && controller.UID == uid:
		return nil // also when its label was taken away
	case controller == nil && labelled && live.GetLabels()[instanceLabel] == live.GetName():
		return nil // its owner was taken away
	case controller != nil && controller.Kind == "Gateway" && labelled:
		return fmt.Errorf("%s: it belongs to another Gateway %s (uid %s); the garbage collector deletes it if that one is gone: %w",
			what, controller.Name, controller.UID, errForeign)
	}
	return fmt.Errorf("%s: %w", what, errForeign)
}

// handOver is the field manager that holds a Deployment's replicas between us and an autoscaler.
const handOver = FieldManager + "-replicas"

// handOverReplicas makes another field manager co-owner of the replicas that are there. When we then apply the
// Deployment without replicas, the number stays until the autoscaler sets another; without a co-owner the API
// server would set it to 1 at once.
func (t *term) handOverReplicas(ctx context.Context, live *appsv1.Deployment) error {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"namespace": live.Namespace, "name": live.Name},
		"spec":     map[string]any{"replicas": int64(*live.Spec.Replicas)},
	}}
	err := t.opts.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(handOver))
	if err != nil {
		return fmt.Errorf("handing the replicas of Deployment %s/%s over to its autoscaler: %w", live.Namespace, live.Name, err)
	}
	return nil
}

// ownsReplicas tells whether we are among those that set the replicas of a Deployment.
func ownsReplicas(live *appsv1.Deployment) bool {
	for _, m := range live.ManagedFields {
		if m.Manager != FieldManager || m.Operation != metav1.ManagedFieldsOperationApply || m.FieldsV1 == nil {
			continue
		}
		var fields struct {
			Spec map[string]json.RawMessage `json:"f:spec"`
		}
		if err := json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields); err != nil {
			return true // handing over too often harms nothing
		}
		if _, ok := fields.Spec["f:replicas"]; ok {
			return true
		}
	}
	return false
}

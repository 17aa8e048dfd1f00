// Package stage puts what a measurement needs on the cluster, and takes all of it away again: a namespace of its own, a Gateway,
// backends, routes.
//
// It measures nothing and touches no object that it did not make. Every wait has a bound.
//
//	GatewayClass name -> namespace { Gateway, Deployment and Services, HTTPRoutes } -> address to ask
package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// ownerLabel marks the namespace, so that one left behind can be found.
const (
	ownerLabel = "app.kubernetes.io/managed-by"
	ownerName  = "gateway-bench"
)

// GatewayName is the name of the one Gateway.
const GatewayName = "bench"

// pollEvery is how often a condition is looked at where no watch is worth it.
const pollEvery = 100 * time.Millisecond

// Stage is one namespace and what is in it. Fill in all fields before the first call.
type Stage struct {
	Client    client.WithWatch
	Namespace string
	Class     string
	// ListenerPort is the port of the Gateway's one HTTP listener.
	ListenerPort int32
	// Image of the echo server.
	Image string
	// Workers is how many requests to the API server are under way at once when many objects are made or deleted.
	Workers int
	// Patience bounds each wait for a condition.
	Patience time.Duration
	Log      *slog.Logger
}

// Controller checks that the GatewayClass is there and accepted, and returns the name of its controller.
func (s *Stage) Controller(ctx context.Context) (string, error) {
	var class gatewayv1.GatewayClass
	if err := s.Client.Get(ctx, client.ObjectKey{Name: s.Class}, &class); err != nil {
		return "", fmt.Errorf("get GatewayClass %q (name one of this cluster with --gateway-class; it has %s): %w", s.Class, s.classes(ctx), err)
	}
	if !meta.IsStatusConditionTrue(class.Status.Conditions, string(gatewayv1.GatewayClassConditionStatusAccepted)) {
		return "", fmt.Errorf("GatewayClass %q is not Accepted (%s): is the controller %s running?",
			s.Class, describe(class.Status.Conditions), class.Spec.ControllerName)
	}
	return string(class.Spec.ControllerName), nil
}

func (s *Stage) classes(ctx context.Context) string {
	var list gatewayv1.GatewayClassList
	if err := s.Client.List(ctx, &list); err != nil || len(list.Items) == 0 {
		return "none"
	}
	names := make([]string, len(list.Items))
	for i := range list.Items {
		names[i] = list.Items[i].Name
	}
	return strings.Join(names, ", ")
}

// Raise makes the namespace. It must not exist: what is in it at the end is deleted.
func (s *Stage) Raise(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.Namespace, Labels: map[string]string{ownerLabel: ownerName}}}
	err := s.Client.Create(ctx, namespace)
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("namespace %q exists already, and the benchmark deletes its namespace at the end: give another --namespace, or none", s.Namespace)
	}
	if err != nil {
		return fmt.Errorf("create namespace %q: %w", s.Namespace, err)
	}
	s.Log.Info("namespace made", "namespace", s.Namespace)
	return nil
}

// Raze deletes the namespace with everything in it, and waits until it is gone. The Gateway goes first, so that its controller can still
// see everything that belongs to it. It can be repeated.
func (s *Stage) Raze(ctx context.Context) error {
	s.Log.Info("cleaning up", "namespace", s.Namespace)
	gateway := &gatewayv1.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: GatewayName}}
	gatewayErr := client.IgnoreNotFound(s.Client.Delete(ctx, gateway))
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.Namespace}}
	if err := client.IgnoreNotFound(s.Client.Delete(ctx, namespace)); err != nil {
		return errors.Join(gatewayErr, fmt.Errorf("delete namespace %q by hand, please: %w", s.Namespace, err))
	}
	err := s.until(ctx, s.Patience, func() (bool, string) {
		err := s.Client.Get(ctx, client.ObjectKeyFromObject(namespace), namespace)
		return apierrors.IsNotFound(err), describeNamespace(namespace, err)
	})
	if err != nil {
		return errors.Join(gatewayErr, fmt.Errorf("namespace %q is deleted but not gone: %w", s.Namespace, err))
	}
	s.Log.Info("cleaned up", "namespace", s.Namespace)
	return gatewayErr
}

// until looks at a condition until it holds. The text says what is missing, for the error.
func (s *Stage) until(ctx context.Context, limit time.Duration, holds func() (bool, string)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		done, missing := holds()
		if done {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("not within %v: %s", limit, missing)
			}
			return ctx.Err()
		}
	}
}

func describe(conditions []metav1.Condition) string {
	if len(conditions) == 0 {
		return "no conditions"
	}
	parts := make([]string, len(conditions))
	for i, c := range conditions {
		parts[i] = fmt.Sprintf("%s=%s %s %q", c.Type, c.Status, c.Reason, c.Message)
	}
	return strings.Join(parts, "; ")
}

func describeNamespace(n *corev1.Namespace, err error) string {
	if err != nil {
		return err.Error()
	}
	parts := []string{"phase " + string(n.Status.Phase)}
	for _, c := range n.Status.Conditions {
		if c.Status == corev1.ConditionTrue {
			parts = append(parts, c.Message)
		}
	}
	return strings.Join(parts, "; ")
}

package kubernetes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// applyFleet makes the cluster hold the objects of one Gateway. An object that fails does not hold up those that
// can do without it.
func (t *term) applyFleet(ctx context.Context, w wanted, s *state) (time.Duration, error) {
	objects, err := Objects(w.gateway, BuildOptions{
		UID: w.uid, Image: t.opts.Image, ProxyImage: t.opts.ProxyImage, XDSHost: t.opts.XDSHost, XDSPort: t.opts.XDSPort,
	})
	if err != nil {
		return 0, err
	}
	err = t.ensureIdentity(ctx, w, s)
	needed := err // what stands in the way of pods
	wantedKinds := map[string]bool{}
	for _, o := range objects {
		kind := o.GetObjectKind().GroupVersionKind().Kind
		wantedKinds[kind] = true
		if kind == "Deployment" && needed != nil {
			continue
		}
		applyErr := t.applyObject(ctx, o, w, s)
		if applyErr != nil && (kind == "ServiceAccount" || kind == "ConfigMap") {
			needed = applyErr
		}
		err = errors.Join(err, applyErr)
	}
	if !wantedKinds[autoscalerKind.kind] {
		err = errors.Join(err, t.ensureAbsent(ctx, autoscalerKind, w, s))
	}
	return t.untilRenewal(s), soften(err)
}

// soften makes an error a waitError when nothing else is in it.
func soften(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	for _, e := range joined.Unwrap() {
		var wait waitError
		if e = soften(e); !errors.As(e, &wait) {
			return fmt.Errorf("%s", err.Error()) // retried as the failure that it is
		}
	}
	return err
}

// applyObject applies one object, unless it was applied as it is and nobody has changed it since.
func (t *term) applyObject(ctx context.Context, wanted client.Object, w wanted, s *state) error {
	kind := wanted.GetObjectKind().GroupVersionKind().Kind
	hash, err := contentHash(wanted)
	if err != nil {
		return err
	}
	if r, ok := s.record(kind); ok && r.wanted == hash {
		return nil
	}
	since := s.heardOf(kind)
	live, err := t.ours(ctx, wanted, w)
	if err != nil {
		return err
	}
	var unmet error // a wish that the live object stands against; the others are fulfilled all the same
	if live != nil {
		if unmet, err = t.adapt(ctx, wanted, live); err != nil {
			return err
		}
	}
	after, err := t.apply(ctx, wanted, FieldManager)
	t.metrics.wrote("apply", kind, err)
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return waitFor("namespace %s is being deleted", wanted.GetNamespace())
	}
	if err != nil {
		return fmt.Errorf("applying %s: %w", describe(wanted), err)
	}
	fingerprint, err := liveFingerprint(after)
	if err != nil {
		return err
	}
	if live == nil {
		t.opts.Log.Info("made", "object", describe(wanted))
	} else if live.GetResourceVersion() != after.GetResourceVersion() {
		t.opts.Log.Info("changed", "object", describe(wanted))
	}
	if unmet != nil {
		return unmet
	}
	return s.learn(kind, record{wanted: hash, live: fingerprint}, since)
}

// ours reads the live object of that kind and name, nil when there is none, and refuses one of somebody else.
func (t *term) ours(ctx context.Context, o client.Object, w wanted) (client.Object, error) {
	live := emptyLike(o) // decoding into a copy would leave in it what the live object lacks
	err := t.opts.Client.Get(ctx, client.ObjectKeyFromObject(o), live)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", describe(o), err)
	}
	return live, checkOwner(live, w.uid, describe(o))
}

// apply sends an object as a server-side apply and gives the live one.
func (t *term) apply(ctx context.Context, o client.Object, manager string) (client.Object, error) {
	content, err := applied(o)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: content}
	if err := t.opts.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(manager), client.ForceOwnership); err != nil {
		return nil, err
	}
	after := emptyLike(o)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, after); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return after, nil
}

// applied is what is sent for an object: what it wants to be, without what only the server says.
func applied(o client.Object) (map[string]any, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", describe(o), err)
	}
	delete(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	unstructured.RemoveNestedField(content, "spec", "template", "metadata", "creationTimestamp")
	return content, nil
}

func contentHash(o client.Object) (string, error) {
	content, err := applied(o)
	if err != nil {
		return "", err
	}
	return hashJSON(content)
}

// liveFingerprint changes when anything about an object does but its status and its version.
func liveFingerprint(o client.Object) (string, error) {
	o = o.DeepCopyObject().(client.Object)
	o.SetResourceVersion("")
	o.SetGeneration(0)
	o.SetManagedFields(nil)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return "", fmt.Errorf("encoding %s: %w", describe(o), err)
	}
	delete(content, "status")
	delete(content, "kind") // objects of a cache may lack both
	delete(content, "apiVersion")
	return hashJSON(content)
}

func hashJSON(content any) (string, error) {
	text, err := json.Marshal(content)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}

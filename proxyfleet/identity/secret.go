package identity

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// CASecret is the name of the Secret that holds the CA, in the control plane's own namespace.
const CASecret = "switchyard-ca"

// Keys of that Secret.
const (
	caCertKey = "ca.crt"
	caKeyKey  = "ca.key"
)

// EnsureCA reads the CA from its Secret and makes both when there is none. Replicas that start at the same time
// end up with the same CA: only one of them can create the Secret.
func EnsureCA(ctx context.Context, c client.Client, namespace string) (*CA, error) {
	ca, err := readCA(ctx, c, namespace)
	if !apierrors.IsNotFound(err) {
		return ca, err
	}
	made, err := NewCA(time.Now())
	if err != nil {
		return nil, err
	}
	key, err := made.Key()
	if err != nil {
		return nil, err
	}
	err = c.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: CASecret,
			Labels: map[string]string{"app.kubernetes.io/part-of": "switchyard"},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{caCertKey: made.Bundle(), caKeyKey: key},
	})
	if apierrors.IsAlreadyExists(err) {
		return readCA(ctx, c, namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("creating Secret %s/%s for the CA: %w", namespace, CASecret, err)
	}
	return made, nil
}

func readCA(ctx context.Context, c client.Client, namespace string) (*CA, error) {
	var secret corev1.Secret
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: CASecret}, &secret); err != nil {
		return nil, fmt.Errorf("reading the CA from Secret %s/%s: %w", namespace, CASecret, err)
	}
	ca, err := LoadCA(secret.Data[caCertKey], secret.Data[caKeyKey])
	if err != nil {
		return nil, fmt.Errorf("reading the CA from Secret %s/%s (%s, %s): %w; mend it, or delete it to have a new CA made",
			namespace, CASecret, caCertKey, caKeyKey, err)
	}
	return ca, nil
}

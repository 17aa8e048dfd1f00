package identity

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/internal/source"
)

// CASecret is the name of the Secret that holds the CA of a control plane of Gateways, in its own namespace.
const CASecret = "switchyard-ca"

// Keys of that Secret. The first is one of a fleet's, too.
const (
	caCertKey = "ca.crt"
	caKeyKey  = "ca.key"
)

// ReadPair reads what a fleet's Secret holds.
func ReadPair(data map[string][]byte) Pair {
	return Pair{Certificate: data[corev1.TLSCertKey], Key: data[corev1.TLSPrivateKeyKey], CA: data[caCertKey]}
}

// Data is what a fleet's Secret holds: that of a Secret of type kubernetes.io/tls, and ca.crt.
func (p Pair) Data() map[string][]byte {
	return map[string][]byte{corev1.TLSCertKey: p.Certificate, corev1.TLSPrivateKeyKey: p.Key, caCertKey: p.CA}
}

// EnsureCA reads the CA from its Secret. It makes one where there is no Secret, or one with neither certificate nor key in
// it. Replicas that start at the same time end up with the same CA: only one of them can create the Secret, or fill it.
func EnsureCA(ctx context.Context, c client.Client, at source.Key) (*CA, error) {
	secret, ca, err := readCA(ctx, c, at)
	if ca != nil || err != nil && !apierrors.IsNotFound(err) {
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
	err = putData(ctx, c, at, secret, map[string][]byte{caCertKey: made.Bundle(), caKeyKey: key})
	if overtaken(err) {
		if _, ca, err = readCA(ctx, c, at); ca != nil || err != nil {
			return ca, err
		}
		return nil, fmt.Errorf("reading the CA from Secret %s: somebody has emptied it just now", at)
	}
	if err != nil {
		return nil, fmt.Errorf("keeping a new CA: %w", err)
	}
	return made, nil
}

// readCA gives the Secret, and the CA in it unless it is empty.
func readCA(ctx context.Context, c client.Client, at source.Key) (*corev1.Secret, *CA, error) {
	secret, err := readSecret(ctx, c, at)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the CA: %w", err)
	}
	if len(secret.Data[caCertKey]) == 0 && len(secret.Data[caKeyKey]) == 0 {
		return secret, nil, nil
	}
	ca, err := LoadCA(secret.Data[caCertKey], secret.Data[caKeyKey])
	if err != nil {
		return nil, nil, fmt.Errorf("reading the CA from Secret %s (%s, %s): %w; mend it, or delete it or all that is in it to have a new CA made",
			at, caCertKey, caKeyKey, err)
	}
	return secret, ca, nil
}

func readSecret(ctx context.Context, c client.Client, at source.Key) (*corev1.Secret, error) {
	var secret corev1.Secret
	if err := c.Get(ctx, client.ObjectKey{Namespace: at.Namespace, Name: at.Name}, &secret); err != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", at, err)
	}
	return &secret, nil
}

// putData puts data into the Secret as it was read, or creates it where there was none. An error is one that overtaken knows
// when somebody else was faster.
func putData(ctx context.Context, c client.Client, at source.Key, read *corev1.Secret, data map[string][]byte) error {
	if read == nil {
		err := c.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: at.Namespace, Name: at.Name,
				Labels: map[string]string{"app.kubernetes.io/part-of": "switchyard"},
			},
			Type: corev1.SecretTypeOpaque,
			Data: data,
		})
		if err != nil {
			return fmt.Errorf("creating Secret %s: %w", at, err)
		}
		return nil
	}
	next := read.DeepCopy()
	if next.Data == nil {
		next.Data = map[string][]byte{}
	}
	for key, value := range data {
		next.Data[key] = value
	}
	// It carries the version that was read: what somebody else has written since is not overwritten.
	if err := c.Update(ctx, next); err != nil {
		return fmt.Errorf("writing Secret %s: %w", at, err)
	}
	return nil
}

// overtaken tells whether somebody else has created or written the Secret first.
func overtaken(err error) bool { return apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) }

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/internal/identity"
	"github.com/switchyard/switchyard/translate/model"
)

// ensureIdentity makes the Secret of a fleet hold a certificate that is good: read only when there is a reason.
func (t *term) ensureIdentity(ctx context.Context, w wanted, s *state) error {
	f := newFleet(w.gateway, BuildOptions{UID: w.uid})
	if t.identityStands(s, f.meta()) {
		return nil
	}
	return t.renewIdentity(ctx, f.meta(), w, s)
}

// keepIdentity renews the certificate of a fleet whose Gateway is refused, if there is one. Labels and annotations of
// spec.infrastructure come back to it when the Gateway does.
func (t *term) keepIdentity(ctx context.Context, w wanted, s *state) (time.Duration, error) {
	meta := newFleet(&model.Gateway{Key: w.key}, BuildOptions{UID: w.uid}).meta()
	live, err := t.ours(ctx, secretOf(meta, identity.Pair{}), w)
	if errors.Is(err, errForeign) || (err == nil && live == nil) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	pair := identity.ReadPair(live.(*corev1.Secret).Data)
	if t.opts.CA().CheckFleet(pair, w.key, t.opts.Clock.Now()) == nil {
		s.mu.Lock()
		s.renewAt = identity.RenewAt(pair)
		s.mu.Unlock()
		return t.untilRenewal(s), nil
	}
	if err := t.renewIdentity(ctx, meta, w, s); err != nil {
		return 0, err
	}
	return t.untilRenewal(s), nil
}

func (t *term) identityStands(s *state, meta metav1.ObjectMeta) bool {
	hash, err := contentHash(secretOf(meta, identity.Pair{}))
	s.mu.Lock()
	defer s.mu.Unlock()
	r, known := s.known["Secret"]
	return err == nil && known && r.wanted == hash && s.signed == t.opts.CA().Fingerprint() && t.opts.Clock.Now().Before(s.renewAt)
}

// renewIdentity reads the Secret, and applies it with a new certificate or with the one that it has.
func (t *term) renewIdentity(ctx context.Context, meta metav1.ObjectMeta, w wanted, s *state) error {
	ca, now := t.opts.CA(), t.opts.Clock.Now()
	since := s.heardOf("Secret")
	live, err := t.ours(ctx, secretOf(meta, identity.Pair{}), w)
	if err != nil {
		return err
	}
	pair, reason := identity.Pair{}, "it has none"
	if live != nil {
		pair, reason = identity.ReadPair(live.(*corev1.Secret).Data), ""
		if err := ca.CheckFleet(pair, w.key, now); err != nil {
			reason = err.Error()
		}
	}
	if reason != "" {
		if pair, err = ca.IssueFleet(w.key, now); err != nil {
			return fmt.Errorf("issuing a certificate for Gateway %s: %w", w.key, err)
		}
	}
	secret := secretOf(meta, pair)
	after, err := t.apply(ctx, secret, FieldManager)
	t.metrics.wrote("apply", "Secret", err)
	if err != nil {
		return fmt.Errorf("applying %s: %w", describe(secret), err)
	}
	if reason != "" {
		t.opts.Log.Info("issued a certificate", "object", describe(secret), "reason", reason, "renew", identity.RenewAt(pair))
	}
	fingerprint, err := liveFingerprint(after)
	if err != nil {
		return err
	}
	// The hash is of what surrounds the certificate: which one is in it is decided above.
	hash, err := contentHash(secretOf(meta, identity.Pair{}))
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.signed, s.renewAt = ca.Fingerprint(), identity.RenewAt(pair)
	s.mu.Unlock()
	return s.learn("Secret", record{wanted: hash, live: fingerprint}, since)
}

// untilRenewal is how long the certificate is good.
func (t *term) untilRenewal(s *state) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(time.Second, s.renewAt.Sub(t.opts.Clock.Now()))
}

func secretOf(meta metav1.ObjectMeta, pair identity.Pair) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: meta,
		Type:       corev1.SecretTypeTLS,
		Data:       pair.Data(),
	}
}

package identity

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/switchyard/switchyard/internal/source"
)

// retryFirst is when a round that failed is tried again; later ones wait twice as long each, up to ReloadEvery.
const retryFirst = time.Second

// FleetOptions say whose certificate is kept where.
type FleetOptions struct {
	AuthorityOptions
	// Certificate is the Secret of the proxies' certificate; they mount it.
	Certificate source.Key
	// View is the Gateway that the certificate names.
	View source.Key
}

// Fleet is the identity of a single fleet and of one of the servers that it may ask. Every replica of these servers runs
// one, none leads: they agree through the two Secrets, since none writes over what another has written since it looked. What
// cannot be read stays as it was. Its methods may be called from any goroutine.
type Fleet struct {
	*Authority
	opts FleetOptions
}

// NewFleet makes one that lets nobody in before Run has found the CA, or made it.
func NewFleet(opts FleetOptions) *Fleet {
	f := &Fleet{Authority: newAuthority(opts.AuthorityOptions), opts: opts}
	f.opts.AuthorityOptions = f.Authority.opts
	return f
}

// Ready tells whether proxies can be let in.
func (f *Fleet) Ready() bool { return f.CA() != nil }

// Run follows the CA and keeps the fleet's certificate good, until ctx is done.
func (f *Fleet) Run(ctx context.Context) error {
	retry := retryFirst
	for {
		wait := ReloadEvery
		if err := f.keep(ctx); err != nil && ctx.Err() == nil {
			if !overtaken(err) {
				f.opts.Log.Warn("the identity of proxies stays as it was", "error", err, "again", retry)
			}
			wait, retry = retry, min(2*retry, ReloadEvery)
		} else {
			retry = retryFirst
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// keep makes the Secret of the fleet hold a certificate that is good. It is read before the CA: had another replica seen a
// newer CA than this one and written by it, then writing here would fail.
func (f *Fleet) keep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	secret, missing := readSecret(ctx, f.opts.Client, f.opts.Certificate)
	if err := f.Reload(ctx); err != nil {
		return err
	}
	if missing != nil && !apierrors.IsNotFound(missing) {
		return missing
	}
	return f.renew(ctx, secret)
}

// renew puts a new certificate where the one read is not good; secret is nil where there is none.
func (f *Fleet) renew(ctx context.Context, secret *corev1.Secret) error {
	ca, now, reason := f.CA(), f.opts.Now(), "it has none"
	if secret != nil && len(secret.Data[corev1.TLSCertKey]) > 0 {
		err := ca.CheckFleet(ReadPair(secret.Data), f.opts.View, now)
		if err == nil {
			return nil
		}
		reason = err.Error()
	}
	pair, err := ca.IssueFleet(f.opts.View, now)
	if err != nil {
		return fmt.Errorf("issuing a certificate for the proxies of %s: %w", f.opts.View, err)
	}
	if err := putData(ctx, f.opts.Client, f.opts.Certificate, secret, pair.Data()); err != nil {
		return err
	}
	f.opts.Log.Info("issued a certificate for proxies", "secret", f.opts.Certificate.String(), "reason", reason, "renew", RenewAt(pair))
	return nil
}

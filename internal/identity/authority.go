package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/internal/source"
)

// ReloadEvery is how soon a changed CA is noticed.
const ReloadEvery = 30 * time.Second

// AuthorityOptions say where the CA is and by which names this server is reached.
type AuthorityOptions struct {
	Client client.Client
	// Secret holds the CA.
	Secret source.Key
	// DNSNames are those of the control plane's Service.
	DNSNames []string
	Log      *slog.Logger     // default slog.Default()
	Now      func() time.Time // default time.Now
}

// askFor bounds one round of questions to the API server.
const askFor = 15 * time.Second

// Authority holds the CA of one replica of the control plane and the replica's own certificate, both as they are
// now. Its methods may be called from any goroutine.
type Authority struct {
	opts AuthorityOptions

	mu     sync.Mutex
	ca     *CA
	pair   Pair
	server *tls.Certificate
}

// NewAuthority reads the CA, or makes it.
func NewAuthority(ctx context.Context, opts AuthorityOptions) (*Authority, error) {
	a := newAuthority(opts)
	return a, a.Reload(ctx)
}

// newAuthority makes one that has no CA yet: nobody is let in.
func newAuthority(opts AuthorityOptions) *Authority {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Authority{opts: opts}
}

// Reload reads the CA again.
func (a *Authority) Reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	ca, err := EnsureCA(ctx, a.opts.Client, a.opts.Secret)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ca != nil && a.ca.Fingerprint() != ca.Fingerprint() {
		a.opts.Log.Info("the CA of xDS has changed", "secret", a.opts.Secret.String())
		a.server = nil
	}
	a.ca = ca
	return nil
}

// Run reads the CA again every ReloadEvery, until ctx is done. A CA that cannot be read leaves the last one.
func (a *Authority) Run(ctx context.Context) error {
	ticker := time.NewTicker(ReloadEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := a.Reload(ctx); err != nil && ctx.Err() == nil {
				a.opts.Log.Warn("the CA of xDS stays as it was", "error", err)
			}
		}
	}
}

// CA is the one that signs now, nil as long as none could be read.
func (a *Authority) CA() *CA {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ca
}

// Credentials are those of the xDS server.
func (a *Authority) Credentials() credentials.TransportCredentials {
	return ServerCredentials(a.current)
}

// current makes a new certificate when the CA has changed or the last one is due.
func (a *Authority) current() (*tls.Certificate, *x509.CertPool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ca == nil {
		return nil, nil, fmt.Errorf("the CA of xDS in Secret %s has not been read yet", a.opts.Secret)
	}
	now := a.opts.Now()
	if a.server == nil || Due(a.pair, now) {
		pair, err := a.ca.IssueServer(a.opts.DNSNames, now)
		if err != nil {
			return nil, nil, err
		}
		cert, err := tls.X509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the server's own certificate: %w", err)
		}
		a.pair, a.server = pair, &cert
	}
	return a.server, a.ca.Pool(), nil
}

package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/switchyard/switchyard/internal/source"
)

var (
	now     = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	gateway = source.Key{Namespace: "team", Name: "gw"}
	caAt    = source.Key{Namespace: "system", Name: CASecret}
)

func newCA(t *testing.T) *CA {
	t.Helper()
	ca, err := NewCA(now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func fleetPair(t *testing.T, ca *CA, gateway source.Key) Pair {
	t.Helper()
	p, err := ca.IssueFleet(gateway, now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func leaf(t *testing.T, p Pair) *x509.Certificate {
	t.Helper()
	certs, err := parseCertificates(p.Certificate)
	if err != nil || len(certs) != 1 {
		t.Fatalf("%d certificates: %v", len(certs), err)
	}
	return certs[0]
}

func TestFleetCertificate(t *testing.T) {
	ca := newCA(t)
	p := fleetPair(t, ca, gateway)
	c := leaf(t, p)
	if len(c.URIs) != 1 || c.URIs[0].String() != "spiffe://switchyard.dev/gateway/team/gw" {
		t.Errorf("it names %v", c.URIs)
	}
	if got, want := c.NotAfter, now.Add(7*24*time.Hour); !got.Equal(want) {
		t.Errorf("it ends at %s, want %s", got, want)
	}
	for at, valid := range map[time.Duration]bool{-6 * time.Minute: false, -4 * time.Minute: true, 7*24*time.Hour - time.Second: true, 7*24*time.Hour + time.Second: false} {
		for usage, ok := range map[x509.ExtKeyUsage]bool{x509.ExtKeyUsageClientAuth: true, x509.ExtKeyUsageServerAuth: false} {
			_, err := c.Verify(x509.VerifyOptions{Roots: ca.Pool(), CurrentTime: now.Add(at), KeyUsages: []x509.ExtKeyUsage{usage}})
			if (err == nil) != (valid && ok) {
				t.Errorf("%s after it was issued, for usage %d: %v", at, usage, err)
			}
		}
	}
	if _, err := tls.X509KeyPair(p.Certificate, p.Key); err != nil {
		t.Error(err)
	}
}

func TestDue(t *testing.T) {
	p := fleetPair(t, newCA(t), gateway)
	start := now.Add(-clockSkew)
	at := start.Add((CertificateLifetime + clockSkew) * 2 / 3)
	if Due(p, at.Add(-time.Second)) || !Due(p, at) {
		t.Errorf("due at %s, want %s", RenewAt(p), at)
	}
	if !Due(Pair{Certificate: []byte("nonsense")}, now) {
		t.Error("what cannot be read is not due")
	}
}

func TestCheckFleet(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	good := fleetPair(t, ca, gateway)
	foreign := fleetPair(t, other, gateway)
	foreign.CA = ca.Bundle()
	mixed := good
	mixed.Key = foreign.Key
	for name, c := range map[string]struct {
		pair Pair
		at   time.Time
		want string
	}{
		"good":              {good, now, ""},
		"due":               {good, now.Add(5 * 24 * time.Hour), "due"},
		"from the future":   {good, now.Add(-time.Hour), "not valid before"},
		"another Gateway":   {fleetPair(t, ca, source.Key{Namespace: "team", Name: "other"}), now, "does not name"},
		"another CA":        {foreign, now, "another CA"},
		"trusts another CA": {fleetPair(t, other, gateway), now, "other CAs"},
		"another key":       {mixed, now, "private key does not match"},
		"empty":             {Pair{CA: ca.Bundle()}, now, "PEM"},
	} {
		err := ca.CheckFleet(c.pair, gateway, c.at)
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A CA survives its Secret, and a bundle trusts all but signs with the one whose key is there.
func TestBundle(t *testing.T) {
	old, next := newCA(t), newCA(t)
	for name, signer := range map[string]*CA{"old": old, "next": next} {
		key, err := signer.Key()
		if err != nil {
			t.Fatal(err)
		}
		both, err := LoadCA(append(old.Bundle(), next.Bundle()...), key)
		if err != nil {
			t.Fatal(err)
		}
		p := fleetPair(t, both, gateway)
		if err := leaf(t, p).CheckSignatureFrom(signer.cert); err != nil {
			t.Errorf("with the key of %s: %v", name, err)
		}
		for _, issuer := range []*CA{old, next} {
			c := leaf(t, fleetPair(t, issuer, gateway))
			if _, err := c.Verify(x509.VerifyOptions{Roots: both.Pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
				t.Error(err)
			}
		}
		if got, want := string(p.CA), string(old.Bundle())+string(next.Bundle()); got != want {
			t.Error("the fleet does not trust both")
		}
	}
	key, _ := old.Key() // a key that was just made can be encoded
	for name, c := range map[string]struct{ cert, key, want string }{
		"no certificate":        {"", string(key), "no certificate"},
		"not PEM":               {"x", string(key), "PEM"},
		"no key":                {string(old.Bundle()), "", "PEM"},
		"another's key":         {string(next.Bundle()), string(key), "belongs to the key"},
		"not a CA":              {string(fleetPair(t, old, gateway).Certificate), string(key), "not one of a CA"},
		"text after the bundle": {string(old.Bundle()) + "rest", string(key), "certificate 2"},
	} {
		if _, err := LoadCA([]byte(c.cert), []byte(c.key)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// handshake connects a client with a certificate to a server, and gives the context of a stream there.
func handshake(t *testing.T, current Current, trust *CA, pair *Pair, maxVersion uint16) (context.Context, error) {
	t.Helper()
	config := &tls.Config{RootCAs: trust.Pool(), ServerName: "cp.example", NextProtos: []string{"h2"}, MaxVersion: maxVersion, Time: func() time.Time { return now }}
	if pair != nil {
		cert, err := tls.X509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{cert}
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		c := tls.Client(a, config)
		if c.Handshake() == nil {
			_, _ = c.Read(make([]byte, 1)) // takes the server's last messages; ends when the pipe does
		}
		a.Close()
	})
	conn, info, err := ServerCredentials(current).ServerHandshake(b)
	if err != nil {
		b.Close()
		return nil, err
	}
	b.Close()
	_ = conn // closed with its pipe
	return peer.NewContext(context.Background(), &peer.Peer{AuthInfo: info}), nil
}

func serverOf(t *testing.T, ca *CA) Current {
	t.Helper()
	p, err := ca.IssueServer([]string{"cp.example"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(p.Certificate, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return func() (*tls.Certificate, *x509.CertPool, error) { return &cert, ca.Pool(), nil }
}

func TestAuthorize(t *testing.T) {
	today(t)
	ca, other := newCA(t), newCA(t)
	mine, theirs := fleetPair(t, ca, gateway), fleetPair(t, other, gateway)
	current := serverOf(t, ca)

	ctx, err := handshake(t, current, ca, &mine, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := Authorize(ctx, &corev3.Node{Cluster: "team/gw"}); err != nil {
		t.Error(err)
	}
	for _, view := range []string{"team/other", "other/gw", "", "team/gw/", "team/g", "../team/gw"} {
		err := Authorize(ctx, &corev3.Node{Cluster: view})
		if err == nil || !strings.Contains(err.Error(), "team/gw") {
			t.Errorf("view %q: %v", view, err)
		}
	}
	if _, err := handshake(t, current, ca, &theirs, 0); err == nil {
		t.Error("a certificate of another CA is let in")
	}
	if _, err := handshake(t, current, ca, nil, 0); err == nil {
		t.Error("a client without a certificate is let in")
	}
	if _, err := handshake(t, current, ca, &mine, tls.VersionTLS12); err == nil {
		t.Error("TLS 1.2 is let in")
	}
	server, err := ca.IssueServer([]string{"cp.example"}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := handshake(t, current, ca, &server, 0); err == nil {
		t.Error("a server's certificate is taken for a client's")
	}
	for name, ctx := range map[string]context.Context{
		"no peer":     context.Background(),
		"no TLS":      peer.NewContext(context.Background(), &peer.Peer{}),
		"no verified": peer.NewContext(context.Background(), &peer.Peer{AuthInfo: credentials.TLSInfo{}}),
	} {
		if err := Authorize(ctx, &corev3.Node{Cluster: "team/gw"}); err == nil {
			t.Errorf("%s: let in", name)
		}
	}
}

func newClient() client.WithWatch { return fake.NewClientBuilder().Build() }

// Replicas that start at the same instant all have the CA of the one that was first.
func TestReplicasAgreeOnTheCA(t *testing.T) {
	const replicas = 8
	var all sync.WaitGroup // lets nobody create before everybody has looked
	all.Add(replicas)
	c := interceptor.NewClient(newClient(), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			all.Done()
			all.Wait()
			return c.Create(ctx, o, opts...)
		},
	})
	prints := make([]string, replicas)
	var wg sync.WaitGroup
	for i := range replicas {
		wg.Go(func() {
			ca, err := EnsureCA(t.Context(), c, caAt)
			if err != nil {
				t.Error(err)
				return
			}
			prints[i] = ca.Fingerprint()
		})
	}
	wg.Wait()
	for _, p := range prints {
		if p != prints[0] || p == "" {
			t.Fatalf("the replicas have different CAs: %v", prints)
		}
	}
}

func TestBrokenCASecretIsExplained(t *testing.T) {
	c := newClient()
	if _, err := EnsureCA(t.Context(), c, caAt); err != nil {
		t.Fatal(err)
	}
	var s corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "system", Name: CASecret}, &s); err != nil {
		t.Fatal(err)
	}
	s.Data["ca.key"] = []byte("lost")
	if err := c.Update(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	_, err := EnsureCA(t.Context(), c, caAt)
	if err == nil || !strings.Contains(err.Error(), "system/switchyard-ca") || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("%v", err)
	}
}

// The server's certificate is renewed, and follows the CA, without a restart.
func TestAuthorityRotates(t *testing.T) {
	c, at := newClient(), time.Now()
	a, err := NewAuthority(t.Context(), AuthorityOptions{
		Client: c, Secret: caAt, DNSNames: []string{"cp.example"}, Now: func() time.Time { return at },
	})
	if err != nil {
		t.Fatal(err)
	}
	serial := func() string {
		t.Helper()
		cert, _, err := a.current()
		if err != nil {
			t.Fatal(err)
		}
		return cert.Leaf.SerialNumber.String()
	}
	first := serial()
	if serial() != first {
		t.Error("every connection gets another certificate")
	}
	at = at.Add(CertificateLifetime * 3 / 4)
	second := serial()
	if second == first {
		t.Error("the certificate was not renewed")
	}
	before := a.CA().Fingerprint()
	if err := c.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: CASecret}}); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a.CA().Fingerprint() == before || serial() == second {
		t.Error("the new CA is not used")
	}
	cert, pool, err := a.current()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "cp.example", CurrentTime: at}); err != nil {
		t.Error(err)
	}
}

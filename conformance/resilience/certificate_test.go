package resilience

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/conformance/resilience/load"
)

// certificate is one that has signed itself, as a TLS Secret holds it.
type certificate struct {
	parsed *x509.Certificate
	data   map[string][]byte
}

func newCertificate(t *testing.T, serial int64, name string) *certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificate{parsed, map[string][]byte{
		corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}}
}

func (c *certificate) secret(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Type: corev1.SecretTypeTLS, Data: c.data}
}

// TestCertificateRotated replaces the certificate of a listener three times under load: every handshake succeeds, with the old one or the
// new one, and soon with the new one alone.
func TestCertificateRotated(t *testing.T) {
	t.Parallel()
	in := connect(t)
	host := hostOf("open")
	certificates := make([]*certificate, 4)
	config := &tls.Config{ServerName: host, RootCAs: x509.NewCertPool()}
	for i := range certificates {
		certificates[i] = newCertificate(t, int64(i+1), host)
		config.RootCAs.AddCert(certificates[i].parsed)
	}
	secret := certificates[0].secret("server")
	w := newWorld(t, in, setup{sims: 2, simArgs: slowStreams, pools: openPool, secret: secret})
	w.waitAnswers("open", http.StatusOK)
	w.waitCertificate(config, certificates[0])
	o := w.options("open", load.Mixed(40)...)
	o.URL, o.TLS = "https://"+w.address, config
	run := startLoad(t, o)
	for _, c := range certificates[1:] {
		secret.Data = c.data
		if err := in.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		took := w.waitCertificate(config, c)
		t.Logf("every proxy has certificate %d after %s", c.parsed.SerialNumber, took.Round(time.Millisecond))
		if took > rotated {
			t.Errorf("it took %s, more than %s", took, rotated)
		}
		more(t, run, 3)
	}
	expectNoErrors(t, run)
}

// waitCertificate waits until every proxy shows a certificate, ten handshakes in a row.
func (w *world) waitCertificate(config *tls.Config, want *certificate) time.Duration {
	w.t.Helper()
	began := time.Now()
	for _, pod := range w.proxies() {
		eventually(w.t, settled, "proxy "+pod.Name+" shows the new certificate", func(ctx context.Context) error {
			for range 10 {
				if err := showsCertificate(ctx, net.JoinHostPort(pod.Status.PodIP, "443"), config, want); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return time.Since(began)
}

func showsCertificate(ctx context.Context, address string, config *tls.Config, want *certificate) error {
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return errors.New("no TLS")
	}
	if got := secure.ConnectionState().PeerCertificates[0]; !got.Equal(want.parsed) {
		return fmt.Errorf("certificate %d, want %d", got.SerialNumber, want.parsed.SerialNumber)
	}
	return nil
}

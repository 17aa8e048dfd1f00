package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/resource"
)

// authority issues the certificates of one test.
type authority struct {
	t      *testing.T
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	issued int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	a.key = newKey(t)
	a.cert = a.sign(template, template, &a.key.PublicKey)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(template, parent *x509.Certificate, public *ecdsa.PublicKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// secret issues a certificate for names and gives it as a Secret, and its serial number.
func (a *authority) secret(namespace, name string, names ...string) (manifest string, serial int64) {
	a.t.Helper()
	a.issued++
	serial = 100 + a.issued
	key := newKey(a.t)
	cert := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, a.cert, &key.PublicKey)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return fmt.Sprintf(`
---
apiVersion: v1
kind: Secret
metadata: {name: %s, namespace: %s}
type: kubernetes.io/tls
data:
  tls.crt: %s
  tls.key: %s
`, name, namespace, encode("CERTIFICATE", cert.Raw), encode("PRIVATE KEY", private)), serial
}

// tlsWorld is a world with an HTTPS port beside the plain one.
type tlsWorld struct {
	*world
	authority *authority
	address   string
}

// config trusts the authority and asks for a server name.
func (w *tlsWorld) config(name string, protocols ...string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(w.authority.cert)
	return &tls.Config{RootCAs: roots, ServerName: name, NextProtos: protocols}
}

// serial makes a handshake and gives the serial number of the certificate shown.
func (w *tlsWorld) serial(name string) (int64, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", w.address, w.config(name))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

// client makes a client of which every connection goes to the HTTPS port and asks for a server name.
func (w *tlsWorld) client(t *testing.T, name string, keepAlive, http2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	transport := &http.Transport{
		DisableKeepAlives: !keepAlive, TLSClientConfig: w.config(name), Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", w.address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// newTLSWorld fills $TLS in the manifests with a free port.
func newTLSWorld(t *testing.T, a *authority, manifests string, opts worldOptions) *tlsWorld {
	t.Helper()
	port := strconv.Itoa(freePort(t))
	w := newWorld(t, strings.ReplaceAll(manifests, "$TLS", port), opts)
	return &tlsWorld{world: w, authority: a, address: "127.0.0.1:" + port}
}

// httpsListener is a listener on $TLS; an empty host is any.
func httpsListener(name, host, certificate string) string {
	if host != "" {
		host = fmt.Sprintf(", hostname: %q", host)
	}
	return fmt.Sprintf("  - {name: %s, protocol: HTTPS, port: $TLS%s, tls: {certificateRefs: [%s]}}\n", name, host, certificate)
}

func TestCertificatesByServerName(t *testing.T) {
	a := newAuthority(t)
	one, oneSerial := a.secret("default", "one", "one.example")
	wild, wildSerial := a.secret("default", "wild", "*.wild.example")
	rest, restSerial := a.secret("default", "rest", "one.example", "other.example", "x.wild.example", "a.b.wild.example")
	on := func(name, section, service string) string {
		return fmt.Sprintf(`
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %s, namespace: default}
spec:
  parentRefs: [{name: gw, sectionName: %s}]
  rules: [{backendRefs: [{name: %s, port: 80}]}]`, name, section, service)
	}
	w := newTLSWorld(t, a, gateway+httpsListener("one", "one.example", "{name: one}")+
		httpsListener("wild", "*.wild.example", "{name: wild}")+httpsListener("rest", "", "{name: rest}")+
		one+wild+rest+echoServices(1, "a", "b", "c", "d")+
		on("one", "one", "a")+on("wild", "wild", "b")+on("rest", "rest", "c")+on("plain", "http", "d"), worldOptions{})
	for _, c := range []struct {
		name    string
		serial  int64
		service string
	}{{"one.example", oneSerial, "a"}, {"x.wild.example", wildSerial, "b"}, {"other.example", restSerial, "c"}} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := w.serial(c.name); err != nil || got != c.serial {
				t.Errorf("shown was certificate %d (%v), want %d", got, err, c.serial)
			}
			for _, http2 := range []bool{false, true} {
				r, err := send(w.client(t, c.name, false, http2), http.MethodGet, "https://"+c.name+"/", "")
				if err != nil || r.status != http.StatusOK || r.server() != c.service+"-1" {
					t.Errorf("HTTP/2 %v: answered %d by %q (%v), want %s", http2, r.status, r.server(), err, c.service)
				}
			}
		})
	}
	t.Run("protocol by ALPN", func(t *testing.T) {
		for _, protocol := range []string{"h2", "http/1.1"} {
			conn, err := tls.Dial("tcp", w.address, w.config("one.example", protocol))
			if err != nil {
				t.Fatal(err)
			}
			if got := conn.ConnectionState().NegotiatedProtocol; got != protocol {
				t.Errorf("negotiated %q, want %q", got, protocol)
			}
			conn.Close()
		}
	})
	t.Run("plain HTTP is apart", func(t *testing.T) {
		if wrong := (probe{host: "one.example", path: "/", want: "d"}).check(w.world); wrong != "" {
			t.Error(wrong)
		}
	})
	t.Run("another host on the same connection", func(t *testing.T) {
		r, err := send(w.client(t, "one.example", false, false), http.MethodGet, "https://one.example/", "", "Host", "x.wild.example")
		if err != nil || r.status != http.StatusMisdirectedRequest {
			t.Errorf("answered %d by %q (%v), want 421", r.status, r.server(), err)
		}
	})
}

// A Secret of another namespace is used only with a grant; without one its listener is not served, and the
// others are.
func TestCertificateOfAnotherNamespace(t *testing.T) {
	a := newAuthority(t)
	far, farSerial := a.secret("certs", "far", "far.example")
	near, nearSerial := a.secret("default", "near", "near.example")
	w := newTLSWorld(t, a, gateway+httpsListener("near", "near.example", "{name: near}")+
		httpsListener("far", "far.example", "{name: far, namespace: certs}")+far+near+
		echoServices(1, "a")+route("all", "\n  - backendRefs: [{name: a, port: 80}]"), worldOptions{})
	if serial, err := w.serial("far.example"); err == nil {
		t.Errorf("without a grant, certificate %d is shown", serial)
	}
	if serial, err := w.serial("near.example"); err != nil || serial != nearSerial {
		t.Errorf("the listener beside it shows %d (%v)", serial, err)
	}
	result, _ := w.stack.Pipeline.Latest()
	status := result.Statuses.Gateways[source.Key{Namespace: "default", Name: "gw"}]
	for _, l := range status.Listeners {
		for _, c := range l.Conditions {
			if l.Name == "far" && c.Type == "ResolvedRefs" && (c.Status != "False" || c.Reason != "RefNotPermitted") {
				t.Errorf("the listener's condition is %+v", c)
			}
		}
	}
	w.write("grant.yaml", `
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: grant, namespace: certs}
spec:
  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: default}]
  to: [{group: "", kind: Secret, name: far}]`)
	eventually(t, 5*time.Second, "the certificate is shown once it is granted", func() bool {
		serial, err := w.serial("far.example")
		return err == nil && serial == farSerial
	})
	r, err := send(w.client(t, "far.example", false, false), http.MethodGet, "https://far.example/", "")
	if err != nil || r.server() != "a-1" {
		t.Errorf("answered %d by %q (%v)", r.status, r.server(), err)
	}
}

// A certificate is replaced five times under load: no request fails, connections that are open stay, and new
// ones see the new certificate within the bound of an edit.
func TestCertificateRotation(t *testing.T) {
	const rotations = 5
	a := newAuthority(t)
	cert, serial := a.secret("default", "cert", "gw.example")
	w := newTLSWorld(t, a, gateway+httpsListener("https", "gw.example", "{name: cert}")+
		echoServices(1, "a")+route("all", "\n  - backendRefs: [{name: a, port: 80}]"), worldOptions{proxies: 2})
	w.apply("secret.yaml", cert)

	var mu sync.Mutex
	var failures []string
	requests := 0
	done := make(chan struct{})
	var wg sync.WaitGroup
	stop := sync.OnceFunc(func() { close(done); wg.Wait() })
	defer stop()
	for i := range 6 {
		client := w.client(t, "gw.example", i%2 == 0, i%3 == 0)
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				r, err := send(client, http.MethodGet, "https://gw.example/", "")
				mu.Lock()
				requests++
				if err != nil || r.status != http.StatusOK {
					failures = append(failures, fmt.Sprintf("%d %s %v", r.status, r.body, err))
				}
				mu.Unlock()
			}
		})
	}
	open, err := tls.Dial("tcp", w.address, w.config("gw.example"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()

	listeners := w.listenerVersions(t)
	for range rotations {
		if got, err := w.serial("gw.example"); err != nil || got != serial {
			t.Fatalf("certificate %d is shown (%v), want %d", got, err, serial)
		}
		next, nextSerial := a.secret("default", "cert", "gw.example")
		began := time.Now()
		w.write("secret.yaml", next)
		// Each proxy has to show it: connections spread over both.
		right := 0
		for right < 16 {
			got, err := w.serial("gw.example")
			if err != nil || time.Since(began) > reloadBound {
				t.Fatalf("after %s certificate %d is shown (%v), want %d", time.Since(began), got, err, nextSerial)
			}
			right++
			if got != nextSerial {
				right = 0
			}
		}
		t.Logf("the new certificate is shown by all after %s at the latest", time.Since(began).Round(time.Millisecond))
		serial = nextSerial
	}
	stop()
	if len(failures) > 0 || requests < 100 {
		t.Errorf("%d of %d requests failed: %.10s", len(failures), requests, failures)
	}
	if _, err := fmt.Fprintf(open, "GET / HTTP/1.1\r\nHost: gw.example\r\nConnection: close\r\n\r\n"); err != nil {
		t.Error(err)
	}
	buffer := make([]byte, 12)
	if _, err := open.Read(buffer); err != nil || string(buffer) != "HTTP/1.1 200" {
		t.Errorf("the connection opened before all that answers %q (%v)", buffer, err)
	}
	if now := w.listenerVersions(t); !slices.Equal(now, listeners) {
		t.Errorf("listeners moved with a certificate: %v, then %v", listeners, now)
	}
	t.Logf("%d requests over %d rotations", requests, rotations)
}

// TestSlipInASecretKeepsTheListener replaces a certificate by one whose key is that of another: what is shown stays, and the
// problem is told. Mended, the new one is shown.
func TestSlipInASecretKeepsTheListener(t *testing.T) {
	a := newAuthority(t)
	first, firstSerial := a.secret("default", "cert", "slip.example")
	second, secondSerial := a.secret("default", "cert", "slip.example")
	w := newTLSWorld(t, a, gateway+httpsListener("https", "", "{name: cert}"), worldOptions{})
	w.write("cert.yaml", first)
	shown := func(serial int64) func() bool {
		return func() bool { got, err := w.serial("slip.example"); return err == nil && got == serial }
	}
	eventually(t, 10*time.Second, "the first certificate is shown", shown(firstSerial))
	w.write("cert.yaml", second[:strings.Index(second, "tls.key:")]+first[strings.Index(first, "tls.key:"):])
	eventually(t, 10*time.Second, "the problem is told", func() bool {
		result, _ := w.stack.Pipeline.Latest()
		return len(result.Problems) == 1 && strings.Contains(result.Problems[0].Error(), "Secret/default/cert: data: not a certificate with its key")
	})
	w.synced()
	if !shown(firstSerial)() {
		t.Error("the first certificate is no longer shown")
	}
	w.write("cert.yaml", second)
	eventually(t, 10*time.Second, "the second certificate is shown", shown(secondSerial))
}

// listenerVersions are the names and versions of the listeners that the proxies are to have.
func (w *world) listenerVersions(t *testing.T) []string {
	t.Helper()
	result, _ := w.stack.Pipeline.Latest()
	var out []string
	for name, r := range result.Output.Views["default/gw"].Of(resource.ListenerType) {
		out = append(out, name+" "+r.Version)
	}
	slices.Sort(out)
	return out
}

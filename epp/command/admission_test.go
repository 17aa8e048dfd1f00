package command

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"

	"github.com/switchyard/switchyard/internal/identity"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/resource"
)

// xdsName is the name that proxies of these tests expect.
const xdsName = "picker.models.svc"

func newCA(t *testing.T) *identity.CA {
	t.Helper()
	ca, err := identity.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// proxyOf are the credentials of a proxy of a view that trusts a CA.
func proxyOf(t *testing.T, ca *identity.CA, view string, trusts *identity.CA) credentials.TransportCredentials {
	t.Helper()
	pair, err := ca.IssueFleet(source.Key{Namespace: "models", Name: view}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return mounted(t, pair, trusts.Pool())
}

// mounted are the credentials of a proxy that has mounted a certificate.
func mounted(t *testing.T, pair identity.Pair, trusts *x509.CertPool) credentials.TransportCredentials {
	t.Helper()
	cert, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return credentials.NewTLS(&tls.Config{RootCAs: trusts, ServerName: xdsName, Certificates: []tls.Certificate{cert}})
}

// admitted asks for clusters as a proxy does, and tells how that went.
func (p *picker) admitted(xds string, as credentials.TransportCredentials) error {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(p.dial(xds, as)).DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	// An error of Send is told by Recv.
	_ = stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "proxy", Cluster: "models/proxies"}, TypeUrl: resource.ClusterType})
	got, err := stream.Recv()
	if err == nil && len(got.GetResources()) == 0 {
		p.t.Error("an answer without clusters")
	}
	return err
}

// TestProxiesShowACertificateOfTheFiles and the picker shows its own: no cluster is there to keep them.
func TestProxiesShowACertificateOfTheFiles(t *testing.T) {
	noLeaks(t)
	t.Setenv("NAMESPACE", "")
	dir := t.TempDir()
	ca, other := newCA(t), newCA(t)
	pair, err := ca.IssueServer([]string{xdsName}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range pair.Data() {
		writeFile(t, filepath.Join(dir, name), string(content))
	}
	endpoints := filepath.Join(t.TempDir(), "endpoints.yaml")
	writeFile(t, endpoints, "endpoints: [{name: w0, address: 127.0.0.9, port: 1}]\n")
	p := startEPP(t, append([]string{"--config-text", discovering(endpoints), "--bind-address", "127.0.0.1", "--pool-name", "llama",
		"--pool-namespace", "models", "--proxy-xds-cert-path", dir}, proxied...)...)
	p.eventually("proxies are served", func() bool { return p.log.line("serving proxies") != nil })
	line := p.log.line("serving proxies")
	if line["tls"] != true {
		t.Errorf("log line %v", line)
	}
	at := line["xds"].(string)
	if err := p.admitted(at, proxyOf(t, ca, "proxies", ca)); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		as   credentials.TransportCredentials
		want codes.Code
	}{
		"in plaintext":          {insecure.NewCredentials(), codes.Unavailable},
		"without a certificate": {credentials.NewTLS(&tls.Config{RootCAs: ca.Pool(), ServerName: xdsName}), codes.Unavailable},
		"of another CA":         {proxyOf(t, other, "proxies", ca), codes.Unavailable},
		"that trusts another":   {proxyOf(t, ca, "proxies", other), codes.Unavailable},
		"of another view":       {proxyOf(t, ca, "others", ca), codes.PermissionDenied},
	} {
		if err := p.admitted(at, c.as); status.Code(err) != c.want {
			t.Errorf("a proxy %s: %v, want %s", name, err, c.want)
		}
	}
}

// TestReadinessWaitsForTheCA has a picker that may not read its Secrets at first.
func TestReadinessWaitsForTheCA(t *testing.T) {
	api := newClusterAPI(t)
	var allowed atomic.Bool
	secrets := keepSecrets(api, &allowed, "llama-xds", "llama-xds-ca")
	p := startProcess(t, []string{"POD_NAME=llama-epp-7d9f8b6c5-x2x4z", "NAMESPACE=models"}, append([]string{"--kubeconfig", api.kubeconfig(t), "--pool-name", "llama",
		"--drain-timeout", "0s", "--proxy-xds-secret", "llama-xds", "--proxy-xds-server-name", "other," + xdsName}, proxied...)...)
	health := p.dial(p.health, insecure.NewCredentials())
	p.eventually("the log tells why", func() bool {
		line := p.picker.log.line("the identity of proxies stays as it was")
		return line != nil && strings.Contains(line["error"].(string), "models/llama-xds-ca") && strings.Contains(line["error"].(string), "Forbidden")
	})
	p.eventually("the picker picks", func() bool {
		at, err := p.ask(p.dial(p.extProc, unverified()))
		return err == nil && at == "127.0.0.9:1"
	})
	if got := p.healthOf(health, "readiness"); got != "NOT_SERVING" {
		t.Errorf("without a CA readiness is %s", got)
	}
	allowed.Store(true)
	p.eventually("the picker is ready", func() bool { return p.healthOf(health, "readiness") == "SERVING" })
	pair := func() identity.Pair { return identity.ReadPair(secrets.data("llama-xds")) }
	p.eventually("the proxies' certificate is kept", func() bool { return len(pair().Certificate) > 0 })
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(pair().CA)
	if err := p.admitted(p.picker.log.line("serving proxies")["xds"].(string), mounted(t, pair(), authorities)); err != nil {
		t.Error(err)
	}
}

// secretsAPI is the part of the API server that keeps Secrets. None can be created.
type secretsAPI struct {
	mu   sync.Mutex
	byID map[string]*corev1.Secret
}

func keepSecrets(api *clusterAPI, allowed *atomic.Bool, names ...string) *secretsAPI {
	s := &secretsAPI{byID: map[string]*corev1.Secret{}}
	for _, name := range names {
		secret := &corev1.Secret{}
		secret.Kind, secret.APIVersion, secret.Name, secret.Namespace, secret.ResourceVersion = "Secret", "v1", name, "models", "1"
		s.byID[name] = secret
	}
	const path = "/api/v1/namespaces/models/secrets/{name}"
	guard := func(serve http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if !allowed.Load() || s.byID[r.PathValue("name")] == nil {
				refuse(w, 403, "Forbidden")
				return
			}
			serve(w, r)
		}
	}
	api.mux.HandleFunc("GET "+path, guard(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		answer(w, 200, s.byID[r.PathValue("name")])
	}))
	api.mux.HandleFunc("PUT "+path, guard(func(w http.ResponseWriter, r *http.Request) {
		var next corev1.Secret
		read(r, &next)
		s.mu.Lock()
		defer s.mu.Unlock()
		known := s.byID[next.Name]
		if next.ResourceVersion != known.ResourceVersion {
			refuse(w, 409, "Conflict")
			return
		}
		known.Data, known.ResourceVersion = next.Data, next.ResourceVersion+"1"
		answer(w, 200, known)
	}))
	return s
}

func (s *secretsAPI) data(name string) map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.byID[name].Data)
}

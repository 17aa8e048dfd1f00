package command

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPagesForCertainClients serves the pages over TLS, to clients with a certificate only.
func TestPagesForCertainClients(t *testing.T) {
	noLeaks(t)
	manifests, server, client, other := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(manifests, "pool.yaml"), pool)
	shownByServer := writeCertificate(t, server)
	writeClient(t, client)
	writeClient(t, other)
	p := startEPP(t, "-f", manifests, "--metrics-cert-dir", server, "--metrics-client-ca-file", filepath.Join(client, "tls.crt"),
		"--enable-pprof=false", "--tls-min-version", "VersionTLS13")
	address := p.log.line("picking")["metrics"].(string)
	get := func(path string, config *tls.Config) (int, string) {
		config.InsecureSkipVerify = true
		transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		return page(t, &http.Client{Transport: transport, Timeout: patience}, "https://"+address+path, "")
	}
	pair := func(dir string) []tls.Certificate {
		loaded, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{loaded}
	}
	var seen []byte
	verify := func(state tls.ConnectionState) error { seen = state.PeerCertificates[0].Raw; return nil }
	if status, text := get("/metrics", &tls.Config{Certificates: pair(client), VerifyConnection: verify}); status != 200 {
		t.Errorf("with the right certificate: %d %s", status, text)
	}
	if string(seen) != string(shownByServer) {
		t.Error("the certificate shown is not that of --metrics-cert-dir")
	}
	if status, _ := get("/debug/pprof/", &tls.Config{Certificates: pair(client)}); status != 404 {
		t.Errorf("with --enable-pprof=false: %d", status)
	}
	if status, _ := get("/metrics", &tls.Config{}); status != 0 {
		t.Errorf("without a certificate: %d", status)
	}
	if status, _ := get("/metrics", &tls.Config{Certificates: pair(other)}); status != 0 {
		t.Errorf("with another certificate: %d", status)
	}
	if status, _ := get("/metrics", &tls.Config{Certificates: pair(client), MaxVersion: tls.VersionTLS12}); status != 0 {
		t.Errorf("over TLS 1.2: %d", status)
	}
	if _, err := tls.Dial("tcp", p.extProc, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("the port of ext_proc speaks TLS 1.2")
	}
	// Other authorities are followed without a restart.
	writeClient(t, client)
	p.eventually("the new client is let in", func() bool {
		status, _ := get("/metrics", &tls.Config{Certificates: pair(client)})
		return status == 200
	})
}

// writeClient puts the certificate of a client, which is its own authority, into a folder.
func writeClient(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: dir},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "tls.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	writeFile(t, filepath.Join(dir, "tls.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// TestPagesOfAFolder asks for no token where nobody could check it.
func TestPagesOfAFolder(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "pool.yaml"), pool)
	p := startEPP(t, "-f", dir)
	address := p.log.line("picking")["metrics"].(string)
	if host, _, _ := net.SplitHostPort(address); host != "127.0.0.1" {
		t.Errorf("pages on %s", host)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	for _, path := range []string{"/metrics", "/debug/epp", "/debug/plugins/state", "/debug/pprof/"} {
		if status, text := page(t, client, "http://"+address+path, ""); status != 200 {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	response, err := client.Post("http://"+address+"/debug/plugins/state", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /debug/plugins/state: %d", response.StatusCode)
	}
}

// TestOldNamesOfMetrics: they are shown when they are asked for.
func TestOldNamesOfMetrics(t *testing.T) {
	noLeaks(t)
	manifests := t.TempDir()
	writeFile(t, filepath.Join(manifests, "pool.yaml"), pool)
	for flag, want := range map[string]bool{"--legacy-metrics": true, "--legacy-metrics=false": false, "--enable-pprof": false} {
		p := startEPP(t, "-f", manifests, flag)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
		_, text := page(t, client, "http://"+p.log.line("picking")["metrics"].(string)+"/metrics", "")
		if !strings.Contains(text, "\nllm_d_epp_info{") || strings.Contains(text, "\ninference_extension_info{") != want {
			t.Errorf("%s: old names are to be there: %v\n%s", flag, want, text)
		}
	}
}

package datalayer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// issue makes a certificate for 127.0.0.1 that is its own authority, and writes it to files.
func issue(t *testing.T, dir, name string) (tls.Certificate, string, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, keyFile := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, cert, keyFile
}

// TestCertificates asks a server that shows a certificate and wants one.
func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	shown, ca, _ := issue(t, dir, "server")
	own, cert, key := issue(t, dir, "client")
	_, otherCA, _ := issue(t, dir, "other")
	clients := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(own.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	clients.AddCert(parsed)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, vllm(5, 0, 0)) }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{shown}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	defer s.Close()
	for name, test := range map[string]struct {
		files TLS
		fails string
	}{
		"both known":               {files: TLS{Verify: true, CA: ca, Cert: cert, Key: key}},
		"not verified":             {files: TLS{Cert: cert, Key: key}},
		"no certificate to show":   {files: TLS{Verify: true, CA: ca}, fails: "certificate"},
		"another authority":        {files: TLS{Verify: true, CA: otherCA, Cert: cert, Key: key}, fails: "certificate"},
		"the system's authority":   {files: TLS{Verify: true, Cert: cert, Key: key}, fails: "certificate"},
		"files that are not there": {files: TLS{Cert: dir + "/none", Key: key}, fails: "none"},
	} {
		t.Run(name, func(t *testing.T) {
			o := quick()
			o.Scheme, o.TLS = "https", test.files
			if err := o.Check(); (err != nil) != (name == "files that are not there") {
				t.Errorf("check says %v", err)
			}
			_, pool := start(t, o, spec("a", s.Listener.Addr().String()))
			e := pool.Endpoints()[0]
			if test.fails == "" {
				eventually(t, "numbers", func() bool { return e.Metrics().Running == 5 })
				return
			}
			eventually(t, "an error", func() bool { return e.Metrics().Err != nil })
			if m := e.Metrics(); !strings.Contains(m.Err.Error(), test.fails) || m.Known != 0 {
				t.Errorf("metrics %+v, want an error with %q", m, test.fails)
			}
		})
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	_, ca, _ := issue(t, dir, "a")
	var log recorder
	d := &secureDialer{files: TLS{Verify: true, CA: ca}, log: slog.New(slog.NewTextHandler(&log, nil))}
	now := time.Now()
	first, err := d.current(now)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		now = now.Add(filesAge)
		if again, err := d.current(now); err != nil || again != first {
			t.Errorf("a file that is being written: %v", err)
		}
	}
	if got := log.count("cannot be read again"); got != 1 {
		t.Errorf("%d lines in the log", got)
	}
	issue(t, dir, "a")
	if again, err := d.current(now.Add(filesAge / 2)); err != nil || again != first {
		t.Error("the files are read all the time")
	}
	if again, err := d.current(now.Add(filesAge)); err != nil || again == first || again.RootCAs.Equal(first.RootCAs) {
		t.Errorf("the new file is not read: %v", err)
	}
	for name, files := range map[string]TLS{"nothing in it": {Verify: true, CA: dir + "/empty"}, "not there": {Verify: true, CA: dir + "/none"}} {
		if err := os.WriteFile(dir+"/empty", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (&secureDialer{files: files}).current(now); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

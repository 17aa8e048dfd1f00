package certificate_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/certificate"
)

func TestSelfSigned(t *testing.T) {
	made := selfSigned(t)
	parsed, err := x509.ParseCertificate(made.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if now.Before(parsed.NotBefore) || parsed.NotAfter.Before(now.AddDate(9, 0, 0)) {
		t.Errorf("valid from %s to %s", parsed.NotBefore, parsed.NotAfter)
	}
	other, _ := x509.ParseCertificate(selfSigned(t).Certificate[0])
	if parsed.SerialNumber.Cmp(other.SerialNumber) == 0 {
		t.Error("two certificates with one serial number")
	}
	state := handshake(t, certificate.Always(made))
	if state.NegotiatedProtocol != "h2" || !bytes.Equal(state.PeerCertificates[0].Raw, made.Certificate[0]) {
		t.Errorf("negotiated %q", state.NegotiatedProtocol)
	}
}

func TestFilesFollowChanges(t *testing.T) {
	dir := t.TempDir()
	first, second := selfSigned(t), selfSigned(t)
	write(t, dir, first)
	var log bytes.Buffer
	files, err := certificate.Load(dir, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	fixed := files.Fixed()
	expect := func(what string, source certificate.Source, want *tls.Certificate) {
		t.Helper()
		if !bytes.Equal(handshake(t, source).PeerCertificates[0].Raw, want.Certificate[0]) {
			t.Errorf("%s is not shown", what)
		}
	}
	expect("the one at start", files.Get, first)
	files.LookAlways()
	// A key that is not the certificate's: a change caught half-way.
	if err := os.WriteFile(filepath.Join(dir, "tls.key"), keyPEM(t, second), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		expect("the last good one", files.Get, first)
	}
	if n := bytes.Count(log.Bytes(), []byte("cannot be used")); n != 1 {
		t.Errorf("the log tells of the broken pair %d times, want once: %s", n, log.String())
	}
	write(t, dir, second)
	expect("the new one", files.Get, second)
	expect("the fixed one", fixed, first)
	if err := os.Remove(filepath.Join(dir, "tls.crt")); err != nil {
		t.Fatal(err)
	}
	expect("the one that was deleted", files.Get, second)
}

func TestLoadSaysWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	if _, err := certificate.Load(dir, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an empty folder was accepted")
	}
	write(t, dir, selfSigned(t))
	if err := os.WriteFile(filepath.Join(dir, "tls.key"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := certificate.Load(dir, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a broken key was accepted")
	}
}

func selfSigned(t *testing.T) *tls.Certificate {
	t.Helper()
	made, err := certificate.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// handshake shakes hands with a server that uses the source.
func handshake(t *testing.T, source certificate.Source) tls.ConnectionState {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	done := make(chan error, 1)
	go func() { done <- tls.Server(there, certificate.ServerConfig(source)).Handshake() }()
	client := tls.Client(here, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return client.ConnectionState()
}

// write puts a certificate into a folder as Kubernetes does: whole new files in place of the old.
func write(t *testing.T, dir string, c *tls.Certificate) {
	t.Helper()
	for name, content := range map[string][]byte{
		"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), "tls.key": keyPEM(t, c),
	} {
		next := filepath.Join(dir, "."+name)
		if err := os.WriteFile(next, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func keyPEM(t *testing.T, c *tls.Certificate) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

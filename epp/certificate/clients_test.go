package certificate_test

import (
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/certificate"
)

func TestLimitsByName(t *testing.T) {
	if got, err := certificate.ParseVersion("VersionTLS13"); err != nil || got != tls.VersionTLS13 {
		t.Errorf("version %x, %v", got, err)
	}
	if got, err := certificate.ParseVersion(""); err != nil || got != 0 {
		t.Errorf("no version: %x, %v", got, err)
	}
	if _, err := certificate.ParseVersion("TLS13"); err == nil || !strings.Contains(err.Error(), "VersionTLS13") {
		t.Errorf("error %v", err)
	}
	got, err := certificate.ParseSuites([]string{"TLS_AES_128_GCM_SHA256", " TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"})
	if err != nil || !slices.Equal(got, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}) {
		t.Errorf("suites %x, %v", got, err)
	}
	for _, names := range [][]string{{"TLS_RSA_WITH_RC4_128_SHA"}, {"none"}, {"TLS_AES_128_GCM_SHA256"}} {
		if _, err := certificate.ParseSuites(names); err == nil {
			t.Errorf("%q was accepted", names)
		}
	}
	config := certificate.ServerConfigWith(certificate.Always(selfSigned(t)),
		certificate.Limits{MinVersion: tls.VersionTLS13, Suites: got})
	if config.MinVersion != tls.VersionTLS13 || !slices.Equal(config.CipherSuites, got) {
		t.Errorf("limits are not in %+v", config)
	}
}

func TestAuthoritiesThatAreNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.crt")
	log := slog.New(slog.DiscardHandler)
	if _, err := certificate.LoadClients(path, log); err == nil {
		t.Error("a file that is not there was accepted")
	}
	if err := os.WriteFile(path, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := certificate.LoadClients(path, log); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}

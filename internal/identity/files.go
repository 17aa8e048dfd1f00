package identity

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/grpc/credentials"
	corev1 "k8s.io/api/core/v1"
)

// Files is the identity of a server as somebody else keeps it: a folder with tls.crt and tls.key, and with the authorities
// of proxies in ca.crt. Every handshake reads it: proxies come seldom, and nothing has to watch. Files that cannot be used
// together, as in the middle of a change, leave what was read last. Its methods may be called from any goroutine.
type Files struct {
	dir string
	log *slog.Logger

	mu      sync.Mutex
	cert    *tls.Certificate
	pool    *x509.CertPool
	trouble string // what the log was told last, so that it is told once
}

// LoadFiles reads a folder, which has to be good at first.
func LoadFiles(dir string, log *slog.Logger) (*Files, error) {
	f := &Files{dir: dir, log: log}
	return f, f.read()
}

// Credentials are those of the xDS server.
func (f *Files) Credentials() credentials.TransportCredentials { return ServerCredentials(f.current) }

func (f *Files) current() (*tls.Certificate, *x509.CertPool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	trouble := ""
	if err := f.read(); err != nil {
		trouble = err.Error()
	}
	if trouble != "" && trouble != f.trouble {
		f.log.Warn("the changed identity of xDS cannot be used; the one before goes on", "error", trouble)
	}
	f.trouble = trouble
	return f.cert, f.pool, nil
}

func (f *Files) read() error {
	cert, err := tls.LoadX509KeyPair(filepath.Join(f.dir, corev1.TLSCertKey), filepath.Join(f.dir, corev1.TLSPrivateKeyKey))
	if err != nil {
		return err
	}
	path := filepath.Join(f.dir, caCertKey)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	authorities, err := parseCertificates(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	pool := x509.NewCertPool()
	for _, a := range authorities {
		pool.AddCert(a)
	}
	f.cert, f.pool = &cert, pool
	return nil
}

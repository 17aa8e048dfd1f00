package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// maxBundle bounds a file of certificates, in bytes.
const maxBundle = 4 << 20

// Clients is the authorities whose clients are let in, in a file of PEM that is followed as Files are. Safe for concurrent
// use.
type Clients struct {
	path  string
	log   *slog.Logger
	every time.Duration

	mu      sync.Mutex
	pool    *x509.CertPool
	at      os.FileInfo
	looked  time.Time
	trouble string
}

// LoadClients reads the authorities in a file.
func LoadClients(path string, log *slog.Logger) (*Clients, error) {
	c := &Clients{path: path, log: log, every: lookEvery, looked: time.Now()}
	at, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if c.pool, err = readPool(path); err != nil {
		return nil, err
	}
	c.at = at
	return c, nil
}

func readPool(path string) (*x509.CertPool, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxBundle))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no certificate in PEM in it", path)
	}
	return pool, nil
}

// authorities are the newest that could be read.
func (c *Clients) authorities() *x509.CertPool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.looked) < c.every {
		return c.pool
	}
	c.looked = now
	at, err := os.Stat(c.path)
	if err == nil && os.SameFile(at, c.at) && at.ModTime().Equal(c.at.ModTime()) && at.Size() == c.at.Size() {
		return c.pool
	}
	var pool *x509.CertPool
	if err == nil {
		pool, err = readPool(c.path)
	}
	if err != nil {
		if c.trouble != err.Error() {
			c.trouble = err.Error()
			c.log.Warn("the changed authorities of clients cannot be used; those before go on", "error", err)
		}
		return c.pool
	}
	c.pool, c.at, c.trouble = pool, at, ""
	c.log.Info("the authorities of clients have changed", "path", c.path)
	return c.pool
}

// PageConfig is TLS for an HTTP server; clients is nil when they need no certificate.
func PageConfig(source Source, limits Limits, clients *Clients) *tls.Config {
	config := limits.apply(&tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: source})
	if clients == nil {
		return config
	}
	// A resumed session would carry over the trust in an authority that is gone.
	config.SessionTicketsDisabled = true
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.ClientCAs = clients.authorities()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := config.Clone()
		now.GetConfigForClient = nil
		now.ClientCAs = clients.authorities()
		return now, nil
	}
	return config
}

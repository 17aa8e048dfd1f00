package datalayer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// TLS is how servers that speak https are known, and how this process shows them who it is. The zero value accepts any
// certificate: model servers are asked by pod address, for which few have one.
type TLS struct {
	Verify    bool   // check the server's certificate
	CA        string // file with authorities (PEM) for that; "": those of the system
	Cert, Key string // files with the certificate to show (PEM), both or none
}

// filesAge is how long the files count as read: new connections are made with what they say now.
const filesAge = 10 * time.Second

// load reads the files.
func (t TLS) load() (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: !t.Verify, MinVersion: tls.VersionTLS12}
	if t.Verify && t.CA != "" {
		text, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("reading authorities of model servers: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("reading authorities of model servers: %s: no certificate in it", t.CA)
		}
	}
	if t.Cert != "" || t.Key != "" {
		own, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("reading the certificate for model servers: %w", err)
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}

// secureDialer connects to servers that speak https.
type secureDialer struct {
	files   TLS
	plain   net.Dialer
	timeout time.Duration // of a handshake
	log     *slog.Logger

	mu      sync.Mutex
	config  *tls.Config
	read    time.Time
	trouble string // what the log was told last, so that it is told once
}

func (d *secureDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	config, err := d.current(time.Now())
	if err != nil {
		return nil, err
	}
	config = config.Clone()
	if config.ServerName, _, err = net.SplitHostPort(address); err != nil {
		return nil, err
	}
	plain, err := d.plain.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	secure := tls.Client(plain, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, err
	}
	return secure, nil
}

// current is what the files say. While they cannot be read (one is still being written) what was read last stays.
func (d *secureDialer) current(now time.Time) (*tls.Config, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.config != nil && now.Sub(d.read) < filesAge {
		return d.config, nil
	}
	config, err := d.files.load()
	switch {
	case err == nil:
		d.config, d.read, d.trouble = config, now, ""
	case d.config == nil:
		return nil, err
	default:
		d.read = now
		if d.trouble != err.Error() {
			d.trouble = err.Error()
			d.log.Warn("the certificates for model servers cannot be read again; those from before stay", "error", err)
		}
	}
	return d.config, nil
}

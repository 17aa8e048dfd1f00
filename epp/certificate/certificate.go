// Package certificate provides what the picker's port shows to proxies over TLS: a certificate from files that follows
// their changes, or one made at start; and what its pages over HTTPS ask of clients. It writes no files.
//
//	folder with tls.crt and tls.key -> Files -> tls.Config
//	SelfSigned -> tls.Config
//	file with authorities -> Clients -> tls.Config
package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// selfSignedFor is how long a self-signed certificate is valid. Nobody checks it, but some clients look at the dates.
const selfSignedFor = 10 * 365 * 24 * time.Hour

// SelfSigned makes a certificate for a server whose clients do not verify it, as the Endpoint Picker Protocol has it. The
// key is ECDSA: an RSA key of a like strength would hold up the start for seconds.
func SelfSigned() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key for a self-signed certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return nil, fmt.Errorf("making a serial number for a self-signed certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"Switchyard"}, CommonName: "endpoint picker"},
		// Clocks differ: a certificate of this moment is not yet valid where they are behind.
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(selfSignedFor),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making a self-signed certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Source gives the certificate of a handshake.
type Source func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// Always gives the same certificate.
func Always(certificate *tls.Certificate) Source {
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }
}

// ServerConfig is TLS for a gRPC server: 1.2 or newer, HTTP/2 by ALPN, clients without certificates.
func ServerConfig(source Source) *tls.Config { return ServerConfigWith(source, Limits{}) }

// ServerConfigWith is ServerConfig within limits.
func ServerConfigWith(source Source, limits Limits) *tls.Config {
	return limits.apply(&tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, GetCertificate: source})
}

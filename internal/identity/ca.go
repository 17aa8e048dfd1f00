// Package identity makes the certificates by which proxies and control plane know each other on a cluster: a
// small certificate authority (CA) in a Secret, a client certificate for each fleet that names its Gateway, and
// a server certificate that each replica of the control plane makes for itself. It decides which view a proxy
// may have, and nothing about what is in it.
//
//	Secret of the CA -> CA -> Secret of a fleet -> proxy
//	proxy's certificate, node.cluster -> Authorize -> xds
//
// There are two that use it. A control plane of Gateways has an Authority from the Secret switchyard-ca, and what keeps its
// fleets keeps their Secrets. Pickers that configure proxies of their own have a Fleet, which keeps both Secrets.
//
// A certificate of a fleet carries the URI spiffe://switchyard.dev/gateway/<namespace>/<name> as its subject
// alternative name; one of a server carries the DNS names of the control plane's Service. Both are valid for 7
// days and renewed after two thirds of them; a CA is valid for 10 years.
//
// # Changing the CA
//
// The Secret holds ca.crt, one certificate or several, and ca.key, the key of the one that signs. All of ca.crt is
// trusted, by servers and by proxies. No step needs a restart, and no proxy loses its connection for longer than a
// connection attempt, when a new CA takes over in three steps:
//
//  1. Append the new CA's certificate to ca.crt and leave ca.key. Control planes trust both within
//     ReloadEvery, fleets are issued new certificates with both in their ca.crt; the kubelet brings them to the
//     pods within about two minutes.
//  2. Replace ca.key with the new CA's. Fleets and servers get certificates of the new one.
//  3. When all fleets have theirs, remove the old certificate from ca.crt.
//
// To start over after a key was lost or stolen, delete the Secret or, where those who use it may not create one, all that
// is in it: a new CA is made within ReloadEvery, and proxies go on serving what they have until the kubelet has brought them
// their new certificates.
package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Validity of certificates.
const (
	CALifetime          = 10 * 365 * 24 * time.Hour
	CertificateLifetime = 7 * 24 * time.Hour
	// clockSkew is how far a clock may be behind ours without refusing a new certificate.
	clockSkew = 5 * time.Minute
)

// CA signs certificates. It is immutable.
type CA struct {
	cert   *x509.Certificate // the one that signs
	key    *ecdsa.PrivateKey
	bundle []byte // PEM of all that are trusted
	pool   *x509.CertPool
}

// NewCA makes a CA with a new key.
func NewCA(now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of a CA: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		// A name of its own, by which a certificate finds its issuer among several.
		Subject:               pkix.Name{CommonName: "switchyard " + serial.Text(36)},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(CALifetime),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of a CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate of a new CA: %w", err)
	}
	return assemble([]*x509.Certificate{cert}, key)
}

// LoadCA reads a CA. certPEM may hold certificates of several CAs: all are trusted, and the one whose key is
// given signs.
func LoadCA(certPEM, keyPEM []byte) (*CA, error) {
	certs, err := parseCertificates(certPEM)
	if err != nil {
		return nil, err
	}
	for i, c := range certs {
		if !c.IsCA {
			return nil, fmt.Errorf("certificate %d (%s) is not one of a CA", i+1, c.Subject)
		}
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	return assemble(certs, key)
}

func assemble(certs []*x509.Certificate, key *ecdsa.PrivateKey) (*CA, error) {
	ca := &CA{key: key, pool: x509.NewCertPool()}
	for _, c := range certs {
		ca.pool.AddCert(c)
		ca.bundle = append(ca.bundle, encode(blockCertificate, c.Raw)...)
		if public, ok := c.PublicKey.(*ecdsa.PublicKey); ok && public.Equal(key.Public()) && ca.cert == nil {
			ca.cert = c
		}
	}
	if ca.cert == nil {
		return nil, errors.New("none of the certificates belongs to the key")
	}
	return ca, nil
}

// Bundle is the PEM of all certificates that are trusted.
func (ca *CA) Bundle() []byte { return bytes.Clone(ca.bundle) }

// Key is the PEM of the key that signs.
func (ca *CA) Key() ([]byte, error) { return encodeKey(ca.key) }

// Pool is what is trusted. Nobody may change it.
func (ca *CA) Pool() *x509.CertPool { return ca.pool }

// Fingerprint changes when the signing certificate does, or what is trusted.
func (ca *CA) Fingerprint() string {
	sum := sha256.Sum256(append(bytes.Clone(ca.cert.Raw), ca.bundle...))
	return hex.EncodeToString(sum[:])
}

const (
	blockCertificate = "CERTIFICATE"
	blockKey         = "PRIVATE KEY"
)

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return encode(blockKey, der), nil
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != blockKey {
		return nil, fmt.Errorf("the key is not a PEM block of type %s", blockKey)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T; it must be an ECDSA key", parsed)
	}
	return key, nil
}

func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil || block.Type != blockCertificate {
			return nil, fmt.Errorf("certificate %d is not a PEM block of type %s", len(out)+1, blockCertificate)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading certificate %d: %w", len(out)+1, err)
		}
		out, text = append(out, c), rest
	}
	if len(out) == 0 {
		return nil, errors.New("there is no certificate")
	}
	return out, nil
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	return serial, nil
}

package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/switchyard/switchyard/internal/source"
)

// Pair is a certificate with its key and what its holder trusts, each in PEM.
type Pair struct {
	Certificate []byte
	Key         []byte
	CA          []byte
}

// GatewayURI is the name by which a fleet's certificate says whose it is.
func GatewayURI(gateway source.Key) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: trustDomain, Path: "/gateway/" + gateway.String()}
}

// IssueFleet makes the certificate of a Gateway's fleet.
func (ca *CA) IssueFleet(gateway source.Key, now time.Time) (Pair, error) {
	return ca.issue(&x509.Certificate{
		URIs:        []*url.URL{GatewayURI(gateway)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, now)
}

// IssueServer makes the certificate of a control plane that is reached by the names given.
func (ca *CA) IssueServer(dnsNames []string, now time.Time) (Pair, error) {
	return ca.issue(&x509.Certificate{
		DNSNames:    dnsNames,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, now)
}

func (ca *CA) issue(template *x509.Certificate, now time.Time) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("making a key: %w", err)
	}
	if template.SerialNumber, err = newSerial(); err != nil {
		return Pair{}, err
	}
	template.Subject = pkix.Name{CommonName: "switchyard"}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.NotBefore = now.Add(-clockSkew)
	template.NotAfter = now.Add(CertificateLifetime)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return Pair{}, fmt.Errorf("signing a certificate: %w", err)
	}
	keyPEM, err := encodeKey(key)
	return Pair{Certificate: encode(blockCertificate, der), Key: keyPEM, CA: ca.Bundle()}, err
}

// RenewAt is when a certificate is to be replaced: after two thirds of its validity. A pair that cannot be read
// is to be replaced at once.
func RenewAt(p Pair) time.Time {
	certs, err := parseCertificates(p.Certificate)
	if err != nil {
		return time.Time{}
	}
	c := certs[0]
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) * 2 / 3)
}

// Due tells whether a certificate is to be replaced.
func Due(p Pair, now time.Time) bool { return !now.Before(RenewAt(p)) }

// CheckFleet says why a pair cannot be the one of a Gateway's fleet any more: another CA signs now or another set
// is trusted, it names somebody else, key and certificate differ, or it is due.
func (ca *CA) CheckFleet(p Pair, gateway source.Key, now time.Time) error {
	if !bytes.Equal(p.CA, ca.bundle) {
		return errors.New("it trusts other CAs")
	}
	if _, err := tls.X509KeyPair(p.Certificate, p.Key); err != nil {
		return err
	}
	certs, err := parseCertificates(p.Certificate)
	if err != nil {
		return err
	}
	c := certs[0]
	if err := c.CheckSignatureFrom(ca.cert); err != nil {
		return fmt.Errorf("another CA has signed it: %w", err)
	}
	if want := GatewayURI(gateway).String(); len(c.URIs) != 1 || c.URIs[0].String() != want {
		return fmt.Errorf("it does not name %s", want)
	}
	if now.Before(c.NotBefore) {
		return fmt.Errorf("it is not valid before %s", c.NotBefore)
	}
	if Due(p, now) {
		return errors.New("it is due")
	}
	return nil
}

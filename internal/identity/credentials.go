package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"google.golang.org/grpc/credentials"
)

// Current gives the server's certificate and what it trusts, at the moment of a handshake. It must not block
// for long.
type Current func() (*tls.Certificate, *x509.CertPool, error)

// ServerCredentials let in who has a certificate of a CA that is trusted at that moment, over TLS 1.3 alone.
// Connections that are open stay so when certificates change.
func ServerCredentials(current Current) credentials.TransportCredentials {
	base := &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAndVerifyClientCert,
		NextProtos: []string{"h2"},
		// A resumed session would be let in on what was trusted when it began.
		SessionTicketsDisabled: true,
	}
	// Never used: it refuses everybody should the function below be passed by.
	base.ClientCAs = x509.NewCertPool()
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		cert, pool, err := current()
		if err != nil {
			return nil, err
		}
		if cert == nil || pool == nil {
			return nil, errors.New("there is no certificate to serve with yet")
		}
		c := base.Clone()
		c.GetConfigForClient = nil
		c.Certificates, c.ClientCAs = []tls.Certificate{*cert}, pool
		return c, nil
	}
	return credentials.NewTLS(base)
}

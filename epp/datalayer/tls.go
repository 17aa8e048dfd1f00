package datalayer

import "crypto/tls"

// insecureTLS accepts any certificate: model servers are asked by pod address, for which nobody has one. Options.Client
// brings another policy.
func insecureTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
}

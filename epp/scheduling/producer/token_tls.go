package producer

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// readCertificates reads the authorities that a server is checked by, and the certificate to show it; any may be empty.
func readCertificates(config *tls.Config, authorities, certificate, key string) error {
	if authorities != "" && !config.InsecureSkipVerify {
		text, err := os.ReadFile(authorities)
		if err != nil {
			return fmt.Errorf("parameters: vllm.caCertPath: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("parameters: vllm.caCertPath: %s: no certificate in it", authorities)
		}
	}
	if (certificate == "") != (key == "") {
		return errors.New("parameters: vllm.clientCertPath, vllm.clientKeyPath: give both or none")
	}
	if certificate == "" {
		return nil
	}
	own, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return fmt.Errorf("parameters: vllm.clientCertPath, vllm.clientKeyPath: %w", err)
	}
	config.Certificates = []tls.Certificate{own}
	return nil
}

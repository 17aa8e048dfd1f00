package gatewayapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// resolvedSecret is a certificate with its key, or why it cannot be used.
type resolvedSecret struct {
	model.Secret
	finding finding
}

// minRSABits is the shortest RSA key that Envoy serves.
const minRSABits = 2048

// tlsFeature is the certificate extension that demands a stapled OCSP answer (RFC 7633).
var tlsFeature = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}

// resolveCertificate finds what one certificateRef of a Gateway's listener refers to.
func (x *index) resolveCertificate(gateway *gwv1.Gateway, ref gwv1.SecretObjectReference) *resolvedSecret {
	group, kind := valueOr(ref.Group, coreGroup), valueOr(ref.Kind, "Secret")
	if group != coreGroup || kind != "Secret" {
		return &resolvedSecret{finding: find(string(gwv1.ListenerReasonInvalidCertificateRef),
			"kind %s of group %q cannot hold a certificate; refer to a Secret", kind, group)}
	}
	key := source.Key{Namespace: string(valueOr(ref.Namespace, gwv1.Namespace(gateway.Namespace))), Name: string(ref.Name)}
	from := referrer{group: gatewayGroup, kind: "Gateway", namespace: gateway.Namespace}
	to := source.Ref{Kind: "Secret", Namespace: key.Namespace, Name: key.Name}
	if !x.permits(from, to) {
		return &resolvedSecret{finding: notPermitted(from, to)}
	}
	if s, ok := x.secrets[key]; ok {
		return s
	}
	s := x.readSecret(key, to)
	x.secrets[key] = s
	return s
}

func (x *index) readSecret(key source.Key, ref source.Ref) *resolvedSecret {
	invalid := func(format string, args ...any) *resolvedSecret {
		return &resolvedSecret{finding: find(string(gwv1.ListenerReasonInvalidCertificateRef),
			"Secret %s %s", key, fmt.Sprintf(format, args...))}
	}
	secret, ok := x.objects.Secrets.Get(key.Namespace, key.Name)
	if !ok {
		return invalid("does not exist")
	}
	cert, private := secretValue(secret, corev1.TLSCertKey), secretValue(secret, corev1.TLSPrivateKeyKey)
	if len(cert) == 0 || len(private) == 0 {
		return invalid("needs the keys %s and %s, both PEM", corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	}
	if err := checkKeyPair(cert, private); err != nil {
		return invalid("cannot be used: %v", err)
	}
	return &resolvedSecret{Secret: model.Secret{ID: key.String(), Source: ref, Cert: cert, Key: private}}
}

// secretValue reads a key of a Secret. Manifests may carry it in stringData, which an API server would
// have merged into data.
func secretValue(s *corev1.Secret, key string) []byte {
	if text, ok := s.StringData[key]; ok {
		return []byte(text)
	}
	return s.Data[key]
}

// checkKeyPair tells whether certificate and key are well-formed, belong together and are of a kind that
// Envoy loads. It does not look at the validity dates: that answer would change without an event, and an
// expired certificate is the client's to refuse.
func checkKeyPair(cert, private []byte) error {
	pair, err := tls.X509KeyPair(cert, private)
	if err != nil {
		return fmt.Errorf("certificate and key do not load as a pair: %w", err)
	}
	leaf := pair.Leaf
	if leaf == nil {
		if leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return fmt.Errorf("parse certificate: %w", err)
		}
	}
	switch public := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSABits {
			return fmt.Errorf("its RSA key has %d bits; proxies refuse fewer than %d", bits, minRSABits)
		}
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return fmt.Errorf("its key is on curve %s; proxies serve P-256, P-384 and P-521", public.Curve.Params().Name)
		}
	}
	if mustStaple(leaf) {
		return fmt.Errorf("it demands OCSP stapling (must-staple), which is not supported; issue one without it")
	}
	return nil
}

// mustStaple tells whether the certificate demands status_request (5), without which Envoy refuses it.
func mustStaple(leaf *x509.Certificate) bool {
	const statusRequest = 5
	for _, ext := range leaf.Extensions {
		if !ext.Id.Equal(tlsFeature) {
			continue
		}
		var features []int
		if _, err := asn1.Unmarshal(ext.Value, &features); err != nil {
			return true
		}
		for _, f := range features {
			if f == statusRequest {
				return true
			}
		}
	}
	return false
}

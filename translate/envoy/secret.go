package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
	"github.com/switchyard/switchyard/translate/resource"
)

func (b *builder) addSecret(s model.Secret) {
	b.add(resource.ID{Type: resource.SecretType, Name: s.ID}, &tlsv3.Secret{
		Name: s.ID,
		Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: inlineBytes(s.Cert),
			PrivateKey:       inlineBytes(s.Key),
		}},
	}, nil, []source.Ref{s.Source})
}

func inlineBytes(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}

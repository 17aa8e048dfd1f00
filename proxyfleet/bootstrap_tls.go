package proxyfleet

import (
	"errors"
	"fmt"
	"path"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// TLS says how a proxy and its control plane know each other. Envoy watches both folders, as Kubernetes
// mounts Secrets and ConfigMaps (a link is moved onto another when the content changes), and uses what is new
// from the next connection on.
type TLS struct {
	// Identity is the folder with tls.crt, tls.key and ca.crt.
	Identity string
	// SDS is the folder with the files that SDSFiles gives.
	SDS string
	// ServerName is the DNS name that the control plane's certificate must carry.
	ServerName string
}

// Names of the files in the two folders.
const (
	CertificateFile = "tls.crt"
	KeyFile         = "tls.key"
	CAFile          = "ca.crt"

	sdsCertificateFile = "sds-certificate.json"
	sdsCAFile          = "sds-ca.json"
)

// Names of the secrets that Envoy asks for.
const (
	certificateSecret = "certificate"
	caSecret          = "ca"
)

// SDSFiles gives the content of the files that tell Envoy where its certificates are, by name. Envoy reads
// certificates anew only when they come from such files.
func (t TLS) SDSFiles() (map[string]string, error) {
	identity := &corev3.WatchedDirectory{Path: t.Identity}
	files := map[string]string{}
	for name, secret := range map[string]*tlsv3.Secret{
		sdsCertificateFile: {Name: certificateSecret, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: fileSource(path.Join(t.Identity, CertificateFile)),
			PrivateKey:       fileSource(path.Join(t.Identity, KeyFile)),
			WatchedDirectory: identity,
		}}},
		sdsCAFile: {Name: caSecret, Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa:        fileSource(path.Join(t.Identity, CAFile)),
			WatchedDirectory: identity,
			MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{{
				SanType: tlsv3.SubjectAltNameMatcher_DNS,
				Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: t.ServerName}},
			}},
		}}},
	} {
		text, err := sdsFile(secret)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", name, err)
		}
		files[name] = text
	}
	return files, nil
}

func sdsFile(secret proto.Message) (string, error) {
	packed, err := anypb.New(secret)
	if err != nil {
		return "", err
	}
	text, err := stableJSON(&discoveryv3.DiscoveryResponse{Resources: []*anypb.Any{packed}})
	return string(text), err
}

func fileSource(name string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: name}}
}

// transportSocket makes Envoy a TLS 1.3 client; without being told it would offer TLS 1.2 at most.
func (t TLS) transportSocket() (*corev3.TransportSocket, error) {
	if t.Identity == "" || t.SDS == "" || t.ServerName == "" {
		return nil, errors.New("mutual TLS needs a folder of certificates, one of SDS files and the server's name")
	}
	packed, err := anypb.New(&tlsv3.UpstreamTlsContext{
		Sni: t.ServerName,
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams: &tlsv3.TlsParameters{
				TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
				TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
			},
			AlpnProtocols:                  []string{"h2"},
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{t.secret(certificateSecret, sdsCertificateFile)},
			ValidationContextType: &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{
				ValidationContextSdsSecretConfig: t.secret(caSecret, sdsCAFile),
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("packing the TLS context of the xDS cluster: %w", err)
	}
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed},
	}, nil
}

func (t TLS) secret(name, file string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: &corev3.ConfigSource{
		ResourceApiVersion: corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_PathConfigSource{PathConfigSource: &corev3.PathConfigSource{
			Path:             path.Join(t.SDS, file),
			WatchedDirectory: &corev3.WatchedDirectory{Path: t.SDS},
		}},
	}}
}

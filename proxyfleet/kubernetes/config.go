package kubernetes

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/proxyfleet"
)

// Where things are in a pod.
const (
	configDir     = "/etc/switchyard"
	identityDir   = "/var/run/secrets/switchyard"
	bootstrapFile = "bootstrap.json"

	readyPort = 19001
)

var (
	adminAddress = netip.MustParseAddrPort("127.0.0.1:19000")
	readyAddress = netip.AddrPortFrom(netip.IPv4Unspecified(), readyPort)
)

// configMap is what every Envoy of the fleet starts from.
func (f fleet) configMap() (*corev1.ConfigMap, error) {
	tls := proxyfleet.TLS{Identity: identityDir, SDS: configDir, ServerName: f.opts.XDSHost}
	bootstrap, err := proxyfleet.Bootstrap(proxyfleet.BootstrapOptions{
		View:    f.gw.Key.String(),
		XDSHost: f.opts.XDSHost, XDSPort: f.opts.XDSPort, TLS: tls,
		Admin: adminAddress, Ready: readyAddress,
	})
	if err != nil {
		return nil, err
	}
	data, err := tls.SDSFiles()
	if err != nil {
		return nil, err
	}
	data[bootstrapFile] = string(bootstrap)
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: f.meta(),
		Data:       data,
	}, nil
}

package command

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/spf13/pflag"
	"google.golang.org/grpc/credentials"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/internal/identity"
	"github.com/switchyard/switchyard/internal/source"
)

// admissionFlags say which proxies are let in to xDS, and how they know that they are in the right place.
type admissionFlags struct {
	secret   string
	names    []string
	certPath string
	insecure bool
}

// Names of these flags.
const (
	secretFlag     = "proxy-xds-secret"
	serverNameFlag = "proxy-xds-server-name"
	xdsCertFlag    = "proxy-xds-cert-path"
	insecureFlag   = "proxy-xds-insecure"
)

// caSuffix makes the name of the CA's Secret of that of the proxies' certificate. Proxies' nodes are not to read the CA's key.
const caSuffix = "-ca"

func (a *admissionFlags) register(set *pflag.FlagSet) {
	set.StringVar(&a.secret, secretFlag, "", "mutual TLS for xDS: the Secret, in the namespace of --proxy-view, in which the certificate of the proxies is kept good. "+
		"Their CA is kept in the Secret of this name with -ca after it. Both are filled if they are empty, and created where that is allowed")
	set.StringSliceVar(&a.names, serverNameFlag, nil, "with --"+secretFlag+": DNS name that proxies expect in the certificate of this server")
	set.StringVar(&a.certPath, xdsCertFlag, "", "instead: mutual TLS with tls.crt, tls.key and ca.crt of this folder, as they are at each connection")
	set.BoolVar(&a.insecure, insecureFlag, false, "instead: plaintext, to everybody who reaches --"+proxyFlag+". On loopback it is plaintext without this")
}

// validateAdmission checks how xDS is protected.
func (f *pickerFlags) validateAdmission() error {
	a := &f.proxy.admission
	ways := 0
	for _, given := range []bool{a.secret != "", a.certPath != "", a.insecure} {
		if given {
			ways++
		}
	}
	switch {
	case ways > 1:
		return fmt.Errorf("--%s, --%s and --%s exclude each other; keep one", secretFlag, xdsCertFlag, insecureFlag)
	case len(a.names) > 0 && a.secret == "":
		return fmt.Errorf("--%s is for certificates that are made here; give --%s too, or leave it out", serverNameFlag, secretFlag)
	case ways == 0 && !onLoopback(f.proxy.xds):
		return fmt.Errorf("--%s: others reach %q; protect it with --%s or --%s, listen on 127.0.0.1, or say --%s",
			proxyFlag, f.proxy.xds, secretFlag, xdsCertFlag, insecureFlag)
	case a.secret == "":
		return nil
	case f.withoutCluster():
		return fmt.Errorf("--%s needs a cluster for its Secrets; give certificates with --%s", secretFlag, xdsCertFlag)
	case len(a.names) == 0:
		return fmt.Errorf("--%s: nobody knows by which name proxies reach this server; give --%s", secretFlag, serverNameFlag)
	}
	if wrong := validation.IsDNS1123Subdomain(a.secret + caSuffix); len(wrong) > 0 {
		return fmt.Errorf("--%s: %q is no name of a Secret: %s", secretFlag, a.secret, strings.Join(wrong, "; "))
	}
	return nil
}

// onLoopback tells whether only this machine reaches an address.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// admission lets proxies in to xDS. The zero value lets in everybody, in plaintext.
type admission struct {
	credentials credentials.TransportCredentials
	authorize   func(context.Context, *corev3.Node) error
	fleet       *identity.Fleet // nil unless certificates are made here
}

func (a *admissionFlags) open(view source.Key, cluster *rest.Config, log *slog.Logger) (admission, error) {
	switch {
	case a.certPath != "":
		files, err := identity.LoadFiles(a.certPath, log)
		if err != nil {
			return admission{}, fmt.Errorf("--%s: %w", xdsCertFlag, err)
		}
		return admission{credentials: files.Credentials(), authorize: identity.Authorize}, nil
	case a.secret != "":
		asked, err := newSecretClient(cluster)
		if err != nil {
			return admission{}, err
		}
		fleet := identity.NewFleet(identity.FleetOptions{
			AuthorityOptions: identity.AuthorityOptions{
				Client: asked, Secret: source.Key{Namespace: view.Namespace, Name: a.secret + caSuffix}, DNSNames: a.names, Log: log,
			},
			Certificate: source.Key{Namespace: view.Namespace, Name: a.secret}, View: view,
		})
		return admission{credentials: fleet.Credentials(), authorize: identity.Authorize, fleet: fleet}, nil
	}
	return admission{}, nil
}

// newSecretClient reads and writes Secrets alone, each by its name: it asks the server neither what kinds it has nor for lists.
func newSecretClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("building the scheme: %w", err)
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	out, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", secretFlag, err)
	}
	return out, nil
}

// ready tells whether proxies can be let in.
func (a admission) ready() bool { return a.fleet == nil || a.fleet.Ready() }

// keep keeps certificates good until ctx ends.
func (a admission) keep(ctx context.Context) error {
	if a.fleet == nil {
		return nil
	}
	return a.fleet.Run(ctx)
}

package resilience

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const clusterType = "type.googleapis.com/envoy.config.cluster.v3.Cluster"

// TestXDSIsForItsOwnFleet asks the control plane for the configuration of a Gateway, with credentials that a proxy of another
// Gateway, or anybody on the cluster's network, has.
func TestXDSIsForItsOwnFleet(t *testing.T) {
	t.Parallel()
	in := connect(t)
	one := newWorld(t, in, setup{proxies: 1, sims: 1, pools: openPool})
	two := newWorld(t, in, setup{proxies: 1, sims: 1, pools: openPool})
	address := in.xdsAddress(t)
	own, other := one.fleetTLS(), two.fleetTLS()
	viewOfOne, viewOfTwo := one.namespace+"/"+gatewayName, two.namespace+"/"+gatewayName
	secret := newCertificate(t, 7, "proxy").data
	forged, err := tls.X509KeyPair(secret[corev1.TLSCertKey], secret[corev1.TLSPrivateKeyKey])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		creds credentials.TransportCredentials
		view  string
		want  codes.Code
	}{
		{"a fleet and its own view", credentials.NewTLS(own), viewOfOne, codes.OK},
		{"the other fleet and its own view", credentials.NewTLS(other), viewOfTwo, codes.OK},
		{"a fleet and the view of another Gateway", credentials.NewTLS(own), viewOfTwo, codes.PermissionDenied},
		{"the other way round", credentials.NewTLS(other), viewOfOne, codes.PermissionDenied},
		{"a fleet and no view", credentials.NewTLS(own), "", codes.InvalidArgument},
		{"no certificate", credentials.NewTLS(&tls.Config{RootCAs: own.RootCAs, ServerName: own.ServerName}), viewOfOne, codes.Unavailable},
		{"a certificate that nobody has signed", credentials.NewTLS(&tls.Config{
			RootCAs: own.RootCAs, ServerName: own.ServerName, Certificates: []tls.Certificate{forged},
		}), viewOfOne, codes.Unavailable},
		{"no TLS", insecure.NewCredentials(), viewOfOne, codes.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			resources, err := askForClusters(t, address, c.creds, c.view)
			t.Logf("%d resources, %v", resources, err)
			if got := status.Code(err); got != c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
			if (resources > 0) != (c.want == codes.OK) {
				t.Errorf("%d resources", resources)
			}
		})
	}
}

// xdsAddress is the control plane's Service.
func (in *installation) xdsAddress(t *testing.T) string {
	t.Helper()
	var service corev1.Service
	if err := in.Get(t.Context(), client.ObjectKey{Namespace: in.namespace, Name: in.name}, &service); err != nil {
		t.Fatal(err)
	}
	for _, p := range service.Spec.Ports {
		if p.Name == "xds" {
			return net.JoinHostPort(service.Spec.ClusterIP, fmt.Sprint(p.Port))
		}
	}
	t.Fatalf("Service %s/%s has no port xds", service.Namespace, service.Name)
	return ""
}

// fleetTLS is what the proxies of a world show, from their Secret.
func (w *world) fleetTLS() *tls.Config {
	w.t.Helper()
	var secret corev1.Secret
	if err := w.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: w.fleet}, &secret); err != nil {
		w.t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		w.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(secret.Data["ca.crt"]) {
		w.t.Fatalf("Secret %s/%s has no certificate under ca.crt", secret.Namespace, secret.Name)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, ServerName: w.installation.name + "." + w.installation.namespace + ".svc",
	}
}

// askForClusters opens a delta stream as a proxy of a view does and gives the number of clusters in the first answer.
func askForClusters(t *testing.T, address string, creds credentials.TransportCredentials, view string) (int, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(creds))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return 0, err
	}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{
		Node: &corev3.Node{Id: "probe", Cluster: view}, TypeUrl: clusterType, ResourceNamesSubscribe: []string{"*"},
	}); err != nil {
		_, err = stream.Recv() // the reason
		return 0, err
	}
	answer, err := stream.Recv()
	return len(answer.GetResources()), err
}

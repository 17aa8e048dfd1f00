package identity

import (
	"context"
	"errors"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// Authorize lets a proxy have the view that its node.cluster names if its certificate names the same Gateway.
// It is meant for xds.Options, behind ServerCredentials: ctx is that of the proxy's stream.
func Authorize(ctx context.Context, node *corev3.Node) error {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return errors.New("the connection is not known")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return errors.New("the connection is not TLS")
	}
	if len(info.State.VerifiedChains) == 0 || len(info.State.VerifiedChains[0]) == 0 {
		return errors.New("the proxy has shown no certificate of ours")
	}
	cert := info.State.VerifiedChains[0][0]
	want := gatewayPrefix + node.GetCluster()
	for _, uri := range cert.URIs {
		if uri.String() == want {
			return nil
		}
	}
	if len(cert.URIs) == 0 {
		return fmt.Errorf("the proxy's certificate names no Gateway; it must name %s", want)
	}
	return fmt.Errorf("the proxy's certificate names %s, not %s; it may only have the view of its own Gateway", cert.URIs[0], want)
}

// trustDomain is the host of the names that certificates carry.
const trustDomain = "switchyard.dev"

const gatewayPrefix = "spiffe://" + trustDomain + "/gateway/"

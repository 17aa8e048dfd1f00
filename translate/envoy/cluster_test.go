package envoy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard/switchyard/translate/model"
	"github.com/switchyard/switchyard/translate/resource"
)

// TestServersOfOthersAreSeldomPinged keeps connections to servers that follow gRPC's defaults: a ping more often
// than every five minutes ends one, and with it a request that the model thinks about for long.
func TestServersOfOthersAreSeldomPinged(t *testing.T) {
	gw := testGateway(forward("a", "service/shop/api/80", "pool/shop/theirs"))
	api := gw.Backends["service/shop/api/80"]
	api.Protocol = model.H2C
	gw.Backends[api.ID] = api
	pinged := 0
	for name, r := range build(t, gw).Of(resource.ClusterType) {
		var cluster clusterv3.Cluster
		if err := r.Body.UnmarshalTo(&cluster); err != nil {
			t.Fatal(err)
		}
		var options upstreamhttpv3.HttpProtocolOptions
		packed := cluster.TypedExtensionProtocolOptions["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
		if err := proto.Unmarshal(packed.GetValue(), &options); err != nil {
			t.Fatal(err)
		}
		http2 := options.GetExplicitHttpConfig().GetHttp2ProtocolOptions()
		if http2 == nil || name == embeddedPicker {
			continue
		}
		pinged++
		if every := http2.GetConnectionKeepalive().GetInterval().AsDuration(); every <= 5*time.Minute {
			t.Errorf("%s is pinged every %s", name, every)
		}
	}
	if pinged != 2 {
		t.Errorf("%d clusters looked at, want the Service's and the picker's", pinged)
	}
}

// TestForeignPickersAreAskedOverTLS holds TLS as the default, whatever answer as a sign of life, and h2c where
// the picker's Service says so.
func TestForeignPickersAreAskedOverTLS(t *testing.T) {
	for _, plaintext := range []bool{false, true} {
		gw := testGateway(forward("a", "pool/shop/theirs"))
		gw.Backends["pool/shop/theirs"].Pool.Picker.Plaintext = plaintext
		r := build(t, gw).Of(resource.ClusterType)["epp/shop/theirs/9002"]
		var cluster clusterv3.Cluster
		if err := r.Body.UnmarshalTo(&cluster); err != nil {
			t.Fatal(err)
		}
		if got := cluster.TransportSocket == nil; got != plaintext {
			t.Errorf("plaintext is %t, want %t", got, plaintext)
		}
		if !plaintext {
			var tls tlsv3.UpstreamTlsContext
			if err := cluster.TransportSocket.GetTypedConfig().UnmarshalTo(&tls); err != nil {
				t.Fatal(err)
			}
			if got := tls.GetCommonTlsContext().GetAlpnProtocols(); !slices.Equal(got, []string{"h2"}) {
				t.Errorf("ALPN %v", got)
			}
		}
		check := cluster.HealthChecks[0].GetHttpHealthCheck()
		if s := check.GetExpectedStatuses(); len(s) != 1 || s[0].Start != 100 || s[0].End != 600 {
			t.Errorf("plaintext %t: alive with %v, want any answer", plaintext, s)
		}
	}
}

// TestForeignPickersThatEndAreAskedLast, below all that are ready, and alone when there are none.
func TestForeignPickersThatEndAreAskedLast(t *testing.T) {
	at := netip.MustParseAddrPort
	for want, ready := range map[string][]netip.AddrPort{
		"0 10.1.0.1, 0 10.1.0.2, 1 10.1.0.3, 2 10.1.0.4": {at("10.1.0.1:9002"), at("10.1.0.2:9002")},
		"0 10.1.0.3, 1 10.1.0.4":                         nil,
	} {
		gw := testGateway(forward("a", "pool/shop/theirs"))
		picker := gw.Backends["pool/shop/theirs"].Pool.Picker
		picker.Endpoints, picker.Ending = ready, []netip.AddrPort{at("10.1.0.3:9002"), at("10.1.0.4:9002")}
		view, err := Build(gw, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var assignment endpointv3.ClusterLoadAssignment
		if err := view.Of(resource.EndpointType)[picker.ID].Body.UnmarshalTo(&assignment); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, locality := range assignment.Endpoints {
			for _, e := range locality.LbEndpoints {
				got = append(got, fmt.Sprintf("%d %s", locality.Priority, e.GetEndpoint().GetAddress().GetSocketAddress().GetAddress()))
			}
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("asked are %q, want %q", got, want)
		}
	}
}

// TestOwnPickersAreAskedAsTheyListen holds the embedded picker to what the installation says of its port, and its check to
// what it says of itself.
func TestOwnPickersAreAskedAsTheyListen(t *testing.T) {
	for _, secured := range []bool{false, true} {
		view, err := Build(testGateway(forward("a", "pool/shop/ours")), Options{PickerTLS: secured})
		if err != nil {
			t.Fatal(err)
		}
		var cluster clusterv3.Cluster
		if err := view.Of(resource.ClusterType)[embeddedPicker].Body.UnmarshalTo(&cluster); err != nil {
			t.Fatal(err)
		}
		if len(cluster.HealthChecks) != 1 || cluster.HealthChecks[0].GetGrpcHealthCheck() == nil {
			t.Errorf("TLS %t: health checks %v", secured, cluster.HealthChecks)
		}
		if got := cluster.TransportSocket != nil; got != secured {
			t.Fatalf("TLS is %t, want %t", got, secured)
		}
		if !secured {
			continue
		}
		var tls tlsv3.UpstreamTlsContext
		if err := cluster.TransportSocket.GetTypedConfig().UnmarshalTo(&tls); err != nil {
			t.Fatal(err)
		}
		common := tls.GetCommonTlsContext()
		if !slices.Equal(common.GetAlpnProtocols(), []string{"h2"}) || common.GetTlsParams().GetTlsMaximumProtocolVersion() != tlsv3.TlsParameters_TLSv1_3 ||
			common.GetValidationContext().GetTrustChainVerification() != tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED {
			t.Errorf("TLS is spoken as %v", common)
		}
	}
}

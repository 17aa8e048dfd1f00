package proxyfleet

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

var options = BootstrapOptions{
	Node: "proxy-7", View: "team/gw",
	XDS:   netip.MustParseAddrPort("127.0.0.1:18000"),
	Admin: netip.MustParseAddrPort("127.0.0.1:0"),
	Ready: netip.MustParseAddrPort("127.0.0.1:0"),
}

func decode(t *testing.T, o BootstrapOptions) (*bootstrapv3.Bootstrap, []byte) {
	t.Helper()
	text, err := Bootstrap(o)
	if err != nil {
		t.Fatal(err)
	}
	b := &bootstrapv3.Bootstrap{}
	if err := protojson.Unmarshal(text, b); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if err := b.ValidateAll(); err != nil {
		t.Error(err)
	}
	return b, text
}

// The real Envoy takes it.
func TestEnvoyTakesTheBootstrap(t *testing.T) {
	envoy, err := FindEnvoy(context.Background(), os.Getenv("ENVOY"))
	if err != nil {
		t.Fatal(err)
	}
	o := options
	o.ReadySocket = filepath.Join(t.TempDir(), "ready")
	_, text := decode(t, o)
	path := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), envoy, "--mode", "validate", "--config-path", path, "--log-level", "warning").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "OK") {
		t.Errorf("%v: %s", err, out)
	}
	if strings.Contains(string(out), "deprecated") {
		t.Errorf("Envoy calls something deprecated: %s", out)
	}
}

func TestBootstrapIsADSOnly(t *testing.T) {
	b, _ := decode(t, options)
	if got := b.GetNode(); got.GetId() != "proxy-7" || got.GetCluster() != "team/gw" {
		t.Errorf("the node is %v; the control plane finds the view by its cluster", got)
	}
	d := b.GetDynamicResources()
	if got := d.GetAdsConfig().GetApiType(); got != corev3.ApiConfigSource_DELTA_GRPC {
		t.Errorf("ADS is %s, want delta", got)
	}
	for name, source := range map[string]*corev3.ConfigSource{"LDS": d.GetLdsConfig(), "CDS": d.GetCdsConfig()} {
		if source.GetAds() == nil {
			t.Errorf("%s does not come over ADS: %v", name, source)
		}
		if timeout := source.GetInitialFetchTimeout(); timeout == nil || timeout.AsDuration() != 0 {
			t.Errorf("%s gives up after %v: a proxy that cannot reach its control plane would be ready with nothing", name, timeout)
		}
	}
	clusters := b.GetStaticResources().GetClusters()
	if len(clusters) != 1 {
		t.Fatalf("%d static clusters, want the control plane alone", len(clusters))
	}
	address := clusters[0].GetLoadAssignment().GetEndpoints()[0].GetLbEndpoints()[0].GetEndpoint().GetAddress().GetSocketAddress()
	if address.GetAddress() != "127.0.0.1" || address.GetPortValue() != 18000 {
		t.Errorf("the control plane is at %v", address)
	}
}

func TestBootstrapListensWhereItIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*BootstrapOptions)
		want   []string
	}{
		"an address":    {func(*BootstrapOptions) {}, []string{"127.0.0.1"}},
		"a socket":      {func(o *BootstrapOptions) { o.Ready, o.ReadySocket = netip.AddrPort{}, "/run/ready" }, []string{"/run/ready"}},
		"both":          {func(o *BootstrapOptions) { o.ReadySocket = "/run/ready" }, []string{"127.0.0.1", "/run/ready"}},
		"no readiness":  {func(o *BootstrapOptions) { o.Ready = netip.AddrPort{} }, nil},
		"an IPv6 admin": {func(o *BootstrapOptions) { o.Admin = netip.MustParseAddrPort("[::1]:9901") }, []string{"127.0.0.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options
			c.change(&o)
			b, _ := decode(t, o)
			var got []string
			for _, l := range b.GetStaticResources().GetListeners() {
				got = append(got, l.GetAddress().GetSocketAddress().GetAddress()+l.GetAddress().GetPipe().GetPath())
			}
			if strings.Join(got, " ") != strings.Join(c.want, " ") {
				t.Errorf("readiness is answered at %v, want %v", got, c.want)
			}
			if admin := b.GetAdmin().GetAddress().GetSocketAddress(); !netip.MustParseAddr(admin.GetAddress()).IsLoopback() {
				t.Errorf("the admin interface is at %v", admin)
			}
		})
	}
}

func TestAdminInterfaceStaysOnLoopback(t *testing.T) {
	for _, address := range []string{"0.0.0.0:9901", "10.0.0.1:9901", "[::]:9901"} {
		o := options
		o.Admin = netip.MustParseAddrPort(address)
		if _, err := Bootstrap(o); err == nil || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

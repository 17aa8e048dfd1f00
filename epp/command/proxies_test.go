package command

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/switchyard/switchyard/internal/standalone"
	"github.com/switchyard/switchyard/translate/resource"
)

// proxied are the flags of proxies that ask the picker of their own machine.
var proxied = []string{"--proxy-xds-address", "127.0.0.1:0", "--proxy-view", "models/proxies", "--proxy-listen", "127.0.0.1:8081", "--proxy-picker", "127.0.0.1:9002"}

func TestFlagsOfProxiesSayWhatToChange(t *testing.T) {
	t.Setenv("POD_NAME", "llama-epp-7d9f8b6c5-x2x4z")
	t.Setenv("NAMESPACE", "models")
	dir := t.TempDir()
	endpoints := filepath.Join(dir, "endpoints.yaml")
	writeFile(t, endpoints, "endpoints: []\n")
	const pool, rest = "--pool-name llama ", "--proxy-xds-address :18000 --proxy-view a/b --proxy-listen 0.0.0.0:8081 "
	const asked = "--proxy-picker 127.0.0.1:1 "
	kubeconfig := newClusterAPI(t).kubeconfig(t)
	for _, test := range []struct {
		args string
		want []string
	}{
		{pool + "--proxy-view a/b", []string{"--proxy-view", "--proxy-xds-address"}},
		{pool + "--proxy-listen :1", []string{"--proxy-listen", "--proxy-xds-address"}},
		{pool + "--proxy-fail-open=true", []string{"--proxy-fail-open", "--proxy-xds-address"}},
		{pool + "--proxy-picker 127.0.0.1:1", []string{"--proxy-picker ", "--proxy-xds-address"}},
		{pool + "--proxy-picker-selector a=b", []string{"--proxy-picker-selector", "--proxy-xds-address"}},
		{pool + "--proxy-picker-spread", []string{"--proxy-picker-spread", "--proxy-xds-address"}},
		{pool + "--proxy-xds-secret a", []string{"--proxy-xds-secret", "--proxy-xds-address"}},
		{pool + "--proxy-xds-server-name a", []string{"--proxy-xds-server-name", "--proxy-xds-address"}},
		{pool + "--proxy-xds-cert-path a", []string{"--proxy-xds-cert-path", "--proxy-xds-address"}},
		{pool + "--proxy-xds-insecure", []string{"--proxy-xds-insecure", "--proxy-xds-address"}},
		{pool + rest + asked, []string{"--proxy-xds-address", `":18000"`, "--proxy-xds-secret", "--proxy-xds-cert-path", "127.0.0.1", "--proxy-xds-insecure"}},
		{pool + "--proxy-xds-address 0.0.0.0:1 --proxy-view a/b --proxy-listen :1 " + asked, []string{`"0.0.0.0:1"`, "--proxy-xds-insecure"}},
		{pool + "--proxy-xds-address here:1 --proxy-view a/b --proxy-listen :1 " + asked, []string{`"here:1"`, "--proxy-xds-insecure"}},
		{pool + rest + asked + "--proxy-xds-insecure --proxy-xds-secret a", []string{"exclude each other", "keep one"}},
		{pool + rest + asked + "--proxy-xds-cert-path a --proxy-xds-secret a", []string{"exclude each other", "keep one"}},
		{pool + rest + asked + "--proxy-xds-insecure --proxy-xds-cert-path a", []string{"exclude each other", "keep one"}},
		{pool + rest + asked + "--proxy-xds-secret a", []string{"--proxy-xds-secret", "--proxy-xds-server-name"}},
		{pool + rest + asked + "--proxy-xds-insecure --proxy-xds-server-name a", []string{"--proxy-xds-server-name", "--proxy-xds-secret", "leave it out"}},
		{pool + rest + asked + "--proxy-xds-server-name a --proxy-xds-secret A_", []string{"--proxy-xds-secret", "A_", "Secret"}},
		{pool + rest + asked + "--kubeconfig " + kubeconfig + " --proxy-xds-cert-path " + dir, []string{"--proxy-xds-cert-path", "tls.crt"}},
		{rest + asked + "--proxy-xds-server-name a --proxy-xds-secret a", []string{"file", "--proxy-xds-secret", "cluster", "--proxy-xds-cert-path"}},
		{"-f " + dir + " --proxy-picker 127.0.0.1:1 " + rest, []string{"--proxy-xds-address", "-f", "serve"}},
		{pool + "--proxy-picker 127.0.0.1:1 --health-checking=false " + rest, []string{"--health-checking", "--proxy-xds-address"}},
		{pool + rest, []string{"--proxy-picker", "--proxy-picker-selector"}},
		{pool + rest + "--proxy-picker 127.0.0.1:1 --proxy-picker-selector a=b", []string{"--proxy-picker and --proxy-picker-selector", "keep one"}},
		{pool + rest + "--proxy-picker localhost:1", []string{"--proxy-picker", "localhost:1", "ip:port"}},
		{pool + rest + "--proxy-picker 127.0.0.1", []string{"--proxy-picker", "ip:port"}},
		{pool + rest + "--proxy-picker 127.0.0.1:0", []string{"--proxy-picker", "ip:port"}},
		{pool + rest + "--proxy-picker 0.0.0.0:9002", []string{"--proxy-picker", "0.0.0.0:9002"}},
		{pool + rest + "--proxy-picker-selector a==b==c", []string{"--proxy-picker-selector", "a==b==c"}},
		{pool + rest + "--proxy-picker-selector ,", []string{"--proxy-picker-selector"}},
		{pool + rest + "--grpc-port 0 --proxy-picker-selector a=b", []string{"--proxy-picker-selector", "--grpc-port"}},
		{pool + rest + "--pool-namespace other --proxy-picker-selector a=b", []string{"--proxy-picker-selector", "namespace models", "other"}},
		{pool + "--proxy-xds-address 18000 --proxy-view a/b --proxy-listen :1 --proxy-picker 127.0.0.1:1", []string{"--proxy-xds-address", "host:port"}},
		{pool + "--proxy-xds-address :1 --proxy-view a --proxy-listen :1 --proxy-picker 127.0.0.1:1", []string{"--proxy-view", "namespace/name"}},
		{pool + "--proxy-xds-address :1 --proxy-view a/b/c --proxy-listen :1 --proxy-picker 127.0.0.1:1", []string{"--proxy-view", "namespace/name"}},
		{pool + "--proxy-xds-address :1 --proxy-view a/b --proxy-picker 127.0.0.1:1", []string{"--proxy-listen", "ip:port"}},
		{pool + "--proxy-xds-address :1 --proxy-view a/b --proxy-listen here:80 --proxy-picker 127.0.0.1:1", []string{"--proxy-listen", "here:80"}},
		{pool + "--proxy-xds-address :1 --proxy-view a/b --proxy-listen :0 --proxy-picker 127.0.0.1:1", []string{"--proxy-listen", ":0"}},
		{pool + "--endpoint-app-protocol http", []string{"--endpoint-app-protocol", "--endpoint-selector", "spec.appProtocol"}},
		{"--endpoint-selector a=b --endpoint-target-ports 1 --endpoint-app-protocol grpc", []string{"--endpoint-app-protocol", "grpc", "kubernetes.io/h2c"}},
		{rest + "--proxy-picker-selector a=b", []string{"file", "--proxy-picker-selector", "cluster", "dataLayer.discovery"}},
	} {
		args := strings.Fields(test.args)
		if test.want[0] == "file" {
			args, test.want = append(args, "--config-text", discovering(endpoints)), test.want[1:]
		}
		_, _, err := run(t, "", args...)
		if err == nil {
			t.Errorf("%q was accepted", test.args)
			continue
		}
		for _, part := range test.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: error %q does not name %q", test.args, err, part)
			}
		}
	}
}

// freePort gives a TCP port that is free on loopback now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// endpointsOf asks as a proxy of the view does for the endpoints of a cluster, until the test's end.
func endpointsOf(p *picker, xds, cluster string) func() string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	p.t.Cleanup(cancel)
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(p.dial(xds, insecure.NewCredentials())).DeltaAggregatedResources(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "proxy", Cluster: "models/proxies"},
		TypeUrl: resource.EndpointType, ResourceNamesSubscribe: []string{cluster}}); err != nil {
		p.t.Fatal(err)
	}
	return func() string {
		p.t.Helper()
		got, err := stream.Recv()
		if err != nil {
			p.t.Fatal(err)
		}
		if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resource.EndpointType, ResponseNonce: got.GetNonce()}); err != nil {
			p.t.Fatal(err)
		}
		var out []string
		for _, r := range got.GetResources() {
			var assignment endpointv3.ClusterLoadAssignment
			if err := r.GetResource().UnmarshalTo(&assignment); err != nil {
				p.t.Fatal(err)
			}
			for _, locality := range assignment.GetEndpoints() {
				for _, e := range locality.GetLbEndpoints() {
					address := e.GetEndpoint().GetAddress().GetSocketAddress()
					out = append(out, fmt.Sprintf("%s %s:%d", r.GetName(), address.GetAddress(), address.GetPortValue()))
				}
			}
		}
		return strings.Join(out, ", ")
	}
}

// TestProxiesFollowTheFile has a picker without a cluster serve proxies, and shows them on its page.
func TestProxiesFollowTheFile(t *testing.T) {
	noLeaks(t)
	t.Setenv("NAMESPACE", "")
	endpoints := filepath.Join(t.TempDir(), "endpoints.yaml")
	writeFile(t, endpoints, "endpoints: [{name: w0, address: 127.0.0.9, port: 1}]\n")
	p := startEPP(t, append([]string{"--config-text", discovering(endpoints), "--bind-address", "127.0.0.1", "--pool-name", "llama",
		"--pool-namespace", "models"}, proxied...)...)
	p.eventually("proxies are served", func() bool { return p.log.line("serving proxies") != nil })
	line := p.log.line("serving proxies")
	if line["view"] != "models/proxies" || line["listen"] != "127.0.0.1:8081" || line["failOpen"] != true {
		t.Errorf("log line %v", line)
	}
	next := endpointsOf(p, line["xds"].(string), "pool/models/llama")
	if got := next(); got != "pool/models/llama 127.0.0.9:1" {
		t.Errorf("endpoints %q", got)
	}
	writeFile(t, endpoints+".next", "endpoints: [{name: w0, address: 127.0.0.8, port: 2}]\n")
	if err := os.Rename(endpoints+".next", endpoints); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "pool/models/llama 127.0.0.8:2" {
		t.Errorf("endpoints %q after the change", got)
	}
	p.eventually("the picker is ready", func() bool {
		return p.healthOf(p.dial(p.health, insecure.NewCredentials()), "readiness") == "SERVING"
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	for path, want := range map[string]string{"/debug/xds": `"models/proxies"`, "/metrics": "switchyard_xds_", "/debug/epp": `"ready": true`} {
		if status, text := page(t, client, "http://"+p.log.line("picking")["metrics"].(string)+path, ""); status != 200 || !strings.Contains(text, want) {
			t.Errorf("%s: %d, no %q in %q", path, status, want, text)
		}
	}
}

// TestProxiesOfAClusterAreServedToTheEnd follows a pool, and has a new proxy come while the picker drains, which is the only one.
func TestProxiesOfAClusterAreServedToTheEnd(t *testing.T) {
	const self = "llama-epp-7d9f8b6c5-x2x4z"
	kubeconfig := newClusterAPIOf(t, strings.ReplaceAll(pool, "name: llama-0", "name: "+self)).kubeconfig(t)
	for name, args := range map[string][]string{
		"a pool":     {"--pool-name", "llama"},
		"a selector": {"--endpoint-selector", "app=llama", "--endpoint-target-ports", "1", "--endpoint-app-protocol", "http"},
	} {
		t.Run(name, func(t *testing.T) {
			pool := map[string]string{"a pool": "pool/models/llama", "a selector": "pool/models/llama-epp"}[name]
			args := append(append(args, proxied[:len(proxied)-2]...), "--proxy-picker-selector", "app=llama", "--drain-timeout", "2s",
				"--kubeconfig", kubeconfig, "--grpc-port", fmt.Sprint(freePort(t)))
			p := startProcess(t, []string{"POD_NAME=" + self, "NAMESPACE=models"}, args...)
			p.eventually("the picker is ready", func() bool {
				return p.healthOf(p.dial(p.health, insecure.NewCredentials()), "readiness") == "SERVING"
			})
			if at, err := p.ask(p.dial(p.extProc, unverified())); err != nil || at != "127.0.0.9:1" {
				t.Errorf("picked %q, %v", at, err)
			}
			xds := p.picker.log.line("serving proxies")["xds"].(string)
			if got, want := endpointsOf(p.picker, xds, "epp")(), "epp 127.0.0.9:"+strings.Split(p.extProc, ":")[1]; got != want {
				t.Errorf("pickers %q, want %q", got, want)
			}
			p.terminate()
			p.eventually("the picker drains", func() bool { return p.picker.log.line("draining") != nil })
			if got := endpointsOf(p.picker, xds, pool)(); got != pool+" 127.0.0.9:1" {
				t.Errorf("while the picker drains: endpoints %q", got)
			}
			if err := <-p.ended; err != nil {
				t.Errorf("ended with %v; log:\n%s", err, p.picker.log)
			}
		})
	}
}

// TestReadinessWaitsForTheView has a picker that knows its pool, and a control plane beside it that has compiled nothing.
func TestReadinessWaitsForTheView(t *testing.T) {
	yes := func() bool { return true }
	b := &beside{plane: standalone.New(standalone.Options{Log: discard})}
	if b.also(yes)() {
		t.Error("ready before there is a view")
	}
	if b = nil; !b.also(yes)() {
		t.Error("not ready without proxies")
	}
}

// TestProtocolOfEndpointsThatAreNoPool has servers speak what the configuration's parser can read, and what it cannot.
func TestProtocolOfEndpointsThatAreNoPool(t *testing.T) {
	noLeaks(t)
	endpoints := filepath.Join(t.TempDir(), "endpoints.yaml")
	writeFile(t, endpoints, "endpoints: [{name: w0, address: 127.0.0.9, port: 1}]\n")
	text := strings.Replace(discovering(endpoints), "plugins:\n", "plugins:\n- {type: vllmgrpc-parser}\n", 1) + "requestHandler: {parsers: [{pluginRef: vllmgrpc-parser}]}\n"
	for protocol, want := range map[string]string{"http": "NOT_SERVING", "kubernetes.io/h2c": "SERVING"} {
		p := startEPP(t, "--config-text", text, "--bind-address", "127.0.0.1", "--endpoint-app-protocol", protocol)
		if got := p.healthOf(p.dial(p.health, insecure.NewCredentials()), "readiness"); got != want {
			t.Errorf("%s: readiness is %s, want %s", protocol, got, want)
		}
	}
}

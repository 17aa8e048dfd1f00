package rendering

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3" // in the file of a proxy
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/switchyard/switchyard/proxyfleet"
)

const serviceMode = "router.proxy.mode=service"

// proxyFiles are the files that a proxy of a release starts with.
func proxyFiles(t *testing.T, objects []object) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, text := range dig(t, find(t, objects, "ConfigMap/my-release-proxy").Object, "data").(map[string]any) {
		out[name] = text.(string)
	}
	return out
}

// message reads YAML as Envoy does.
func message(t *testing.T, text string, into proto.Message) {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = protojson.Unmarshal(asJSON, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func xdsCluster(t *testing.T, bootstrap string) *clusterv3.Cluster {
	t.Helper()
	var b bootstrapv3.Bootstrap
	message(t, bootstrap, &b)
	for _, c := range b.GetStaticResources().GetClusters() {
		if c.GetName() == "xds" {
			return c
		}
	}
	t.Fatal("no cluster called xds")
	return nil
}

func secretNames(objects []object) []string {
	var out []string
	for _, o := range objects {
		if o.GetKind() == "Secret" {
			out = append(out, o.GetName())
		}
	}
	return out
}

// flagsOf are the picker's arguments that begin with a text.
func flagsOf(t *testing.T, objects []object, prefix string) []string {
	t.Helper()
	var out []string
	for _, arg := range container(t, workloads(t, objects)[0], "epp").Args {
		if strings.HasPrefix(arg, prefix) {
			out = append(out, arg)
		}
	}
	return out
}

// TestXDSBesideThePickerStaysOnLoopback: in one pod it needs no TLS, for nobody else reaches it.
func TestXDSBesideThePickerStaysOnLoopback(t *testing.T) {
	objects := of(t, standalone, labelled).objects(t)
	if got := flagsOf(t, objects, "--proxy-xds"); !slices.Equal(got, []string{"--proxy-xds-address=127.0.0.1:18000"}) {
		t.Errorf("the picker's flags of xDS are %v", got)
	}
	c := xdsCluster(t, proxyFiles(t, objects)["envoy.yaml"])
	address := c.GetLoadAssignment().GetEndpoints()[0].GetLbEndpoints()[0].GetEndpoint().GetAddress().GetSocketAddress()
	if address.GetAddress() != "127.0.0.1" || address.GetPortValue() != 18000 || c.GetTransportSocket() != nil {
		t.Errorf("the proxy asks %v, with %v", address, c.GetTransportSocket())
	}
	for _, p := range container(t, workloads(t, objects)[0], "epp").Ports {
		if p.ContainerPort == 18000 {
			t.Error("the picker's container has a port for xDS")
		}
	}
	if got := secretNames(objects); len(got) > 0 {
		t.Errorf("there are Secrets that nobody uses: %v", got)
	}
}

// TestXDSOverTheNetworkIsMutualTLS: the proxy's side is, word by word, what a control plane of Gateways gives its fleets; and the
// picker's side keeps what the proxy's mounts.
func TestXDSOverTheNetworkIsMutualTLS(t *testing.T) {
	objects := of(t, standalone, labelled, serviceMode).objects(t)
	files := proxyFiles(t, objects)
	const server = "my-release-epp-peers.models.svc"
	wanted := proxyfleet.TLS{Identity: "/var/run/secrets/switchyard", SDS: "/etc/envoy", ServerName: server}
	text, err := proxyfleet.Bootstrap(proxyfleet.BootstrapOptions{View: "models/my-release", Admin: netip.MustParseAddrPort("127.0.0.1:19000"),
		XDSHost: "any", XDSPort: 18000, TLS: wanted})
	if err != nil {
		t.Fatal(err)
	}
	inYAML := strings.NewReplacer("sds-certificate.json", "sds-certificate.yaml", "sds-ca.json", "sds-ca.yaml")
	got, want := xdsCluster(t, files["envoy.yaml"]), xdsCluster(t, inYAML.Replace(string(text)))
	if !proto.Equal(got.GetTransportSocket(), want.GetTransportSocket()) || !proto.Equal(got.GetConnectTimeout(), want.GetConnectTimeout()) {
		t.Errorf("the proxy connects by\n%v\nwant\n%v", got, want)
	}
	sds, err := wanted.SDSFiles()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range sds {
		var got, want discoveryv3.DiscoveryResponse
		message(t, files[inYAML.Replace(name)], &got)
		message(t, text, &want)
		if !proto.Equal(&got, &want) {
			t.Errorf("%s is\n%v\nwant\n%v", name, &got, &want)
		}
	}

	const secret = "my-release-epp-xds"
	if got, want := flagsOf(t, objects, "--proxy-xds-s"), []string{"--proxy-xds-secret=" + secret, "--proxy-xds-server-name=" + server}; !slices.Equal(got, want) {
		t.Errorf("the picker's flags are %v, want %v", got, want)
	}
	if got, want := secretNames(objects), []string{secret, secret + "-ca"}; !slices.Equal(got, want) {
		t.Errorf("the Secrets are %v, want %v", got, want)
	}
	for _, name := range secretNames(objects) {
		// What is said here an upgrade would put in place of what the picker has put there.
		if o := find(t, objects, "Secret/"+name); o.Object["data"] != nil || o.Object["stringData"] != nil || o.Object["type"] != "Opaque" {
			t.Errorf("Secret %s says more than its name", name)
		}
	}
	checkIdentityMount(t, workloads(t, objects)[1], secret)
}

// checkIdentityMount expects the proxy to see its certificate, and not the key of the CA.
func checkIdentityMount(t *testing.T, w workload, secret string) {
	t.Helper()
	for _, v := range w.template.Spec.Volumes {
		if v.Secret == nil {
			continue
		}
		var keys []string
		for _, item := range v.Secret.Items {
			if item.Key == item.Path {
				keys = append(keys, item.Key)
			}
		}
		if v.Secret.SecretName != secret || !slices.Equal(keys, []string{"tls.crt", "tls.key", "ca.crt"}) || *v.Secret.DefaultMode != 0o440 || v.Secret.Optional != nil {
			t.Errorf("the volume is %+v", v.Secret)
		}
		mounts := container(t, w, "envoy-proxy").VolumeMounts
		if !slices.ContainsFunc(mounts, func(m corev1.VolumeMount) bool {
			return m.Name == v.Name && m.MountPath == "/var/run/secrets/switchyard" && m.ReadOnly && m.SubPath == ""
		}) {
			t.Errorf("the proxy mounts %+v", mounts)
		}
		return
	}
	t.Error("the proxies mount no Secret")
}

// TestXDSWithoutTLSHasToBeAskedFor, and then leaves nothing of it.
func TestXDSWithoutTLSHasToBeAskedFor(t *testing.T) {
	objects := of(t, standalone, labelled, serviceMode, "router.proxy.xds.tls=false").objects(t)
	if got := flagsOf(t, objects, "--proxy-xds"); !slices.Equal(got, []string{"--proxy-xds-address=:18000", "--proxy-xds-insecure"}) {
		t.Errorf("the picker's flags of xDS are %v", got)
	}
	if files := proxyFiles(t, objects); len(files) != 1 || xdsCluster(t, files["envoy.yaml"]).GetTransportSocket() != nil {
		t.Errorf("the proxy has %d files, or a transport socket", len(files))
	}
	if got := secretNames(objects); len(got) > 0 {
		t.Errorf("there are Secrets: %v", got)
	}
}

// TestSecretsOfTheRelease: of Secrets, the role of no picker says more than to read and change those two by name.
func TestSecretsOfTheRelease(t *testing.T) {
	seen := 0
	for name, r := range goldens(t) {
		if r.Chart != standalone {
			continue
		}
		objects := renderGolden(t, name, r)
		for _, o := range objects {
			if o.GetKind() != "Role" && o.GetKind() != "ClusterRole" {
				continue
			}
			var role rbacv1.Role // a ClusterRole's rules have the same place
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
				t.Fatal(err)
			}
			for _, rule := range role.Rules {
				if !slices.Contains(rule.Resources, "secrets") && !slices.Contains(rule.Resources, "*") || strings.HasSuffix(o.GetName(), "-metrics-reader") {
					continue // of Prometheus, not of the picker
				}
				seen++
				if !slices.Equal(rule.Verbs, []string{"get", "update"}) || !slices.Equal(rule.ResourceNames, []string{"my-release-epp-xds", "my-release-epp-xds-ca"}) {
					t.Errorf("%s: %s: %+v", name, o.id(), rule)
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no golden release has the role")
	}
}

// TestProxyBeforeThePicker: a proxy that starts before the picker in its pod, and is configured by it, is waited for by nobody.
func TestProxyBeforeThePicker(t *testing.T) {
	seen := 0
	for name, r := range goldens(t) {
		for _, w := range workloads(t, renderGolden(t, name, r)) {
			for _, c := range w.template.Spec.InitContainers {
				if c.RestartPolicy == nil || len(flagsOfWorkload(w, "--proxy-xds-address=127.0.0.1")) == 0 {
					continue
				}
				seen++
				if c.StartupProbe != nil || c.Lifecycle != nil && c.Lifecycle.PostStart != nil {
					text, _ := json.Marshal(c.StartupProbe)
					t.Errorf("%s: %s: the picker starts only after %s has its configuration: %s", name, w.id, c.Name, text)
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no golden release has such a proxy")
	}
}

func flagsOfWorkload(w workload, prefix string) []string {
	var out []string
	for _, c := range containers(w) {
		for _, arg := range c.Args {
			if strings.HasPrefix(arg, prefix) {
				out = append(out, arg)
			}
		}
	}
	return out
}

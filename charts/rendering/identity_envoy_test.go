package rendering

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/switchyard/switchyard/internal/identity"
	"github.com/switchyard/switchyard/internal/source"
)

// mount puts files into a folder as the kubelet does: a new folder beside, and one link that is moved. In their texts oldnew is replaced.
func mount(t *testing.T, dir string, files map[string]string, oldnew ...string) {
	t.Helper()
	version, err := os.MkdirTemp(dir, "..version-")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(version, name), []byte(strings.NewReplacer(oldnew...).Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(dir, name)
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.Symlink(filepath.Join("..data", name), link); err != nil {
			t.Fatal(err)
		}
	}
	next := filepath.Join(dir, "..data_tmp")
	if err := os.Symlink(filepath.Base(version), next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

// secured is a release in service mode, with an API server, pickers at addresses of loopback and proxies.
type secured struct {
	t             *testing.T
	api           *apiServer
	objects       []object
	xds, listener int
	pickers       []string
	args          []string
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	t.Setenv("NAMESPACE", namespace)
	t.Setenv("POD_NAME", "my-release-epp-0")
	s := &secured{t: t, xds: freePort(t), listener: freePort(t), pickers: []string{"127.0.0.21", "127.0.0.22"}}
	server, asked := startServer(t, "127.0.0.20:0", "server"), freePort(t)
	s.objects = of(t, standalone, labelled, serviceMode, "router.inferencePool.create=false", "router.proxy.failOpen=false",
		"router.modelServers.targetPorts[0].number="+strconv.Itoa(server)).objects(t)
	pods := []corev1.Pod{readyPod("server", "127.0.0.20", map[string]string{"app": "my-model"})}
	for _, ip := range s.pickers {
		pods = append(pods, readyPod("picker-"+ip, ip, workloads(t, s.objects)[0].template.Labels))
	}
	s.api = startAPI(t, s.objects, pods...)
	config := dig(t, find(t, s.objects, "ConfigMap/my-release-epp").Object, "data", "default-plugins.yaml").(string)
	ports := strings.NewReplacer("--proxy-xds-address=:18000", fmt.Sprintf("--proxy-xds-address=$IP:%d", s.xds), "0.0.0.0:8081", fmt.Sprintf("127.0.0.1:%d", s.listener),
		"/config/default-plugins.yaml", writeFile(t, "config.yaml", config))
	for _, arg := range container(t, workloads(t, s.objects)[0], "epp").Args {
		s.args = append(s.args, ports.Replace(arg))
	}
	s.args = append(s.args, "--kubeconfig", s.api.kubeconfig(), "--bind-address", "$IP", "--grpc-port", strconv.Itoa(asked), "--grpc-health-port", "0",
		"--drain-timeout", "0s", "--metrics-endpoint-auth=false")
	return s
}

func readyPod(name, ip string, labels map[string]string) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, UID: "1", ResourceVersion: "1", Labels: labels},
		Status:     corev1.PodStatus{PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

// startPicker starts one, with the arguments of the release, and gives where its pages are and how it is ended.
func (s *secured) startPicker(ip string) (pages string, end func()) {
	s.t.Helper()
	pages = net.JoinHostPort(ip, strconv.Itoa(freePort(s.t)))
	_, port, _ := net.SplitHostPort(pages)
	args := []string{"--metrics-port", port}
	for _, arg := range s.args {
		args = append(args, strings.ReplaceAll(arg, "$IP", ip))
	}
	return pages, startPicker(s.t, args...)
}

// certificate waits until the Secret that proxies mount has one that another does not equal, and gives what the kubelet would mount.
func (s *secured) certificate(before map[string]string) map[string]string {
	s.t.Helper()
	out := map[string]string{}
	eventually(s.t, "the Secret of proxies has a new certificate", func() error {
		data := s.api.data("my-release-epp-xds")
		for _, key := range []string{"tls.crt", "tls.key", "ca.crt"} {
			if out[key] = string(data[key]); out[key] == "" {
				return fmt.Errorf("no %s", key)
			}
		}
		if out["tls.crt"] == before["tls.crt"] {
			return fmt.Errorf("still the one before")
		}
		return nil
	})
	return out
}

// issued is a certificate that the picker has not made; it trusts the picker's CA.
func (s *secured) issued(ca *identity.CA, view string, trusts map[string]string) map[string]string {
	s.t.Helper()
	pair, err := ca.IssueFleet(source.Key{Namespace: namespace, Name: view}, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return map[string]string{"tls.crt": string(pair.Certificate), "tls.key": string(pair.Key), "ca.crt": trusts["ca.crt"]}
}

// proxy is a running Envoy of the release.
type proxy struct {
	t         *testing.T
	admin     string
	mountedAt string
}

// startProxy starts one with the files of the release and a certificate, which knows some of the pickers; change is made to its
// cluster of xDS before.
func (s *secured) startProxy(certificate map[string]string, pickers []string, change func(cluster map[string]any)) *proxy {
	s.t.Helper()
	p := &proxy{t: s.t, mountedAt: s.t.TempDir()}
	mount(s.t, p.mountedAt, certificate)
	files := proxyFiles(s.t, s.objects)
	var config map[string]any
	if err := yaml.Unmarshal([]byte(files["envoy.yaml"]), &config); err != nil {
		s.t.Fatal(err)
	}
	for _, at := range []any{config["admin"], dig(s.t, config, "static_resources", "listeners", 0)} {
		dig(s.t, at, "address", "socket_address").(map[string]any)["port_value"] = 0
	}
	for _, c := range dig(s.t, config, "static_resources", "clusters").([]any) {
		cluster := c.(map[string]any)
		if cluster["name"] != "xds" {
			continue
		}
		delete(cluster, "cluster_type")
		cluster["type"] = "STATIC"
		var all []any
		for _, ip := range pickers {
			all = append(all, map[string]any{"endpoint": map[string]any{"address": map[string]any{"socket_address": map[string]any{"address": ip, "port_value": s.xds}}}})
		}
		dig(s.t, cluster, "load_assignment", "endpoints", 0).(map[string]any)["lb_endpoints"] = all
		if change != nil {
			change(cluster)
		}
	}
	changed, err := yaml.Marshal(config)
	if err != nil {
		s.t.Fatal(err)
	}
	dir := s.t.TempDir()
	moved := []string{"/etc/envoy", dir, "/var/run/secrets/switchyard", p.mountedAt}
	mount(s.t, dir, files, moved...)
	adminFile := runEnvoy(s.t, strings.NewReplacer(moved...).Replace(string(changed)))
	eventually(s.t, "Envoy's admin interface", func() error {
		text, err := os.ReadFile(adminFile)
		if p.admin = string(text); err == nil && p.admin == "" {
			err = fmt.Errorf("not written yet")
		}
		return err
	})
	return p
}

// stats are the counters and gauges that were asked for and are not 0.
func (p *proxy) stats(names ...string) (map[string]int, error) {
	body, err := get("http://" + p.admin + "/stats?filter=^(" + strings.Join(names, "|") + ")$")
	out := map[string]int{}
	for line := range strings.Lines(string(body)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if n, notANumber := strconv.Atoi(value); notANumber == nil && n != 0 {
			out[name] = n
		}
	}
	return out, err
}

// Statistics of a proxy: what it was given, its connections that ended, servers that it did not believe, and streams that it began.
const (
	given   = "cluster_manager.cds.update_success"
	refused = "cluster.xds.upstream_cx_destroy"
	doubted = "cluster.xds.ssl.fail_verify_san|cluster.xds.ssl.fail_verify_error|cluster.xds.ssl.connection_error"
	denied  = "cluster.xds.upstream_rq_total"
)

// served waits until requests are answered.
func (s *secured) served(what string) {
	s.t.Helper()
	eventually(s.t, what, func() error {
		status, body, err := ask(fmt.Sprintf("127.0.0.1:%d", s.listener))
		if err == nil && (status != http.StatusOK || body != "server") {
			err = fmt.Errorf("status %d, %q", status, body)
		}
		return err
	})
}

// TestProxiesShowTheirCertificate has the picker and Envoy as a release starts them, each doing what its role says and no more. The proxy
// that mounts the Secret is served; others are not; and a new CA and a new certificate are followed by all without a restart.
func TestProxiesShowTheirCertificate(t *testing.T) {
	s := newSecured(t)
	_, endFirst := s.startPicker(s.pickers[0])
	first := s.certificate(nil)
	right := s.startProxy(first, s.pickers, nil)
	s.served("requests are served")

	ca, err := identity.LoadCA(s.api.data("my-release-epp-xds-ca")["ca.crt"], s.api.data("my-release-epp-xds-ca")["ca.key"])
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := identity.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	asked := s.pickers[:1] // no attempt fails because nobody is there
	strangers := map[string]*proxy{
		"in plaintext": s.startProxy(first, asked, func(cluster map[string]any) { delete(cluster, "transport_socket") }),
		"without a certificate": s.startProxy(first, asked, func(cluster map[string]any) {
			delete(dig(t, cluster, "transport_socket", "typed_config", "common_tls_context").(map[string]any), "tls_certificate_sds_secret_configs")
		}),
		"of another CA":      s.startProxy(s.issued(foreign, "my-release", first), asked, nil),
		"of another release": s.startProxy(s.issued(ca, "other", first), asked, nil),
		"that trusts another CA": s.startProxy(map[string]string{"tls.crt": first["tls.crt"], "tls.key": first["tls.key"],
			"ca.crt": string(foreign.Bundle())}, asked, nil),
	}
	for name, p := range strangers {
		eventually(t, "a proxy "+name+" tries again", func() error {
			got, err := p.stats(refused, denied)
			if err == nil && got[refused] < 2 && got[denied] < 2 {
				err = fmt.Errorf("%v", got)
			}
			return err
		})
	}

	// Somebody starts over. The first picker has not looked yet; another replica comes, and makes a new CA.
	s.api.empty("my-release-epp-xds-ca")
	pages, _ := s.startPicker(s.pickers[1])
	second := s.certificate(first)
	if first["ca.crt"] == second["ca.crt"] {
		t.Error("the CA is the one before")
	}
	endFirst()
	eventually(t, "the proxy does not know the new picker", func() error {
		got, err := right.stats(doubted)
		if err == nil && len(got) == 0 {
			err = fmt.Errorf("it has doubted nobody")
		}
		return err
	})
	s.served("requests go on")
	mount(t, right.mountedAt, second)
	eventually(t, "the proxy has read its new certificate, and is configured by the new picker", func() error {
		text, err := get("http://" + pages + "/debug/xds")
		if err == nil && (!strings.Contains(string(text), `"models/my-release"`) || !strings.Contains(string(text), `"test"`)) {
			err = fmt.Errorf("there is no such proxy: %s", text)
		}
		return err
	})
	s.served("requests are served")
	for name, p := range strangers {
		if got, err := p.stats(given); err != nil || len(got) > 0 {
			t.Errorf("a proxy %s: %v, %v", name, got, err)
		}
	}
	if got, err := right.stats(given); err != nil || got[given] == 0 {
		t.Errorf("the statistic that strangers are judged by is not there: %v, %v", got, err)
	}
	for _, what := range s.api.refusals() {
		t.Errorf("a picker has asked for what its role does not say: %s", what)
	}
}

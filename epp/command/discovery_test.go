package command

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/credentials/insecure"
)

// discovering is a configuration of a picker whose endpoints are those of a file.
func discovering(endpoints string) string {
	return fmt.Sprintf(`apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {name: workers, type: file-discovery, parameters: {path: %q, watchFile: true}}
dataLayer: {discovery: {pluginRef: workers}}
`, endpoints)
}

// TestEndpointsOfAFile picks from a file without a cluster and without the name of a pool, and follows the file.
func TestEndpointsOfAFile(t *testing.T) {
	noLeaks(t)
	t.Setenv("KUBECONFIG", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("NAMESPACE", "")
	endpoints := filepath.Join(t.TempDir(), "endpoints.yaml")
	put := func(text string) {
		t.Helper()
		writeFile(t, endpoints+".next", text)
		if err := os.Rename(endpoints+".next", endpoints); err != nil {
			t.Fatal(err)
		}
	}
	put("endpoints: [{name: w0, address: 127.0.0.9, port: \"1\"}]\n")
	p := startEPP(t, "--config-text", discovering(endpoints), "--bind-address", "127.0.0.1")
	conn := p.dial(p.extProc, unverified())
	picks := func(want string) func() bool {
		return func() bool { at, err := p.ask(conn); return err == nil && at == want }
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	shows := func(lines ...string) func() bool {
		return func() bool {
			status, text := page(t, client, "http://"+p.log.line("picking")["metrics"].(string)+"/metrics", "")
			for _, line := range lines {
				if status != 200 || !strings.Contains(text, line+"\n") {
					return false
				}
			}
			return true
		}
	}
	if got := p.healthOf(p.dial(p.health, insecure.NewCredentials()), "readiness"); got != "SERVING" {
		t.Errorf("readiness is %s at once", got)
	}
	if !picks("127.0.0.9:1")() {
		t.Error("the endpoint of the file is not picked")
	}
	if line := p.log.line("picking"); line["pool"] != "default/workers" {
		t.Errorf("log line %v", line)
	}
	put("endpoints: [{name: w0, address: 'fd00::9', port: 2}]\n")
	p.eventually("the new endpoint is picked", picks("[fd00::9]:2"))
	put("endpoints: [{name: w0, address: 127.0.0.9, port: 99999}]\n")
	p.eventually("the broken file is refused", shows("llm_d_epp_discovery_last_reload_successful 0",
		`llm_d_epp_discovery_reloads_total{result="failure"} 1`, `llm_d_epp_discovery_reloads_total{result="success"} 1`, `llm_d_epp_ready_endpoints{name="workers"} 1`))
	if !picks("[fd00::9]:2")() {
		t.Error("the endpoint before is not picked any more")
	}
	line := p.log.line("the changed file of endpoints is refused; the endpoints before it stay")
	if text, _ := line["error"].(string); line["level"] != "error" || !strings.Contains(text, `endpoints[0]: "w0": port: 99999`) {
		t.Errorf("log line %v", line)
	}
	put("endpoints: []\n")
	p.eventually("no endpoint is left", shows("llm_d_epp_discovery_last_reload_successful 1", `llm_d_epp_ready_endpoints{name="workers"} 0`))
}

func TestEndpointsOfAFileUnderAName(t *testing.T) {
	noLeaks(t)
	endpoints := filepath.Join(t.TempDir(), "endpoints.yaml")
	writeFile(t, endpoints, "endpoints: [{name: w0, address: 127.0.0.9, port: 1}]\n")
	p := startEPP(t, "--config-text", discovering(endpoints), "--bind-address", "127.0.0.1", "--pool-name", "llama", "--pool-namespace", "models")
	if line := p.log.line("picking"); line["pool"] != "models/llama" {
		t.Errorf("log line %v", line)
	}
	if at, err := p.ask(p.dial(p.extProc, unverified())); err != nil || at != "127.0.0.9:1" {
		t.Errorf("picked %q, %v", at, err)
	}
}

func TestDiscoverySaysWhatToChange(t *testing.T) {
	t.Setenv("POD_NAME", "epp-7d9f8b6c5-x2x4z")
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	writeFile(t, good, "endpoints: []\n")
	writeFile(t, bad, "endpoints: [{name: w0, address: gpu-1, port: 1}]\n")
	for _, test := range []struct {
		file string
		args []string
		want []string
	}{
		{bad, nil, []string{bad, `endpoints[0]: "w0": address: "gpu-1"`}},
		{filepath.Join(dir, "none.yaml"), nil, []string{"none.yaml"}},
		{good, []string{"-f", dir}, []string{"dataLayer.discovery", "-f"}},
		{good, []string{"--endpoint-selector", "a=b", "--endpoint-target-ports", "1"}, []string{"dataLayer.discovery", "--endpoint-selector"}},
		{good, []string{"--ha-enable-leader-election"}, []string{"--ha-enable-leader-election", "dataLayer.discovery"}},
		{good, []string{"--metrics-endpoint-auth"}, []string{"--metrics-endpoint-auth", "file discovery"}},
	} {
		_, _, err := run(t, "", append([]string{"--grpc-port", "0", "--grpc-health-port", "0", "--metrics-port", "0", "--config-text", discovering(test.file)}, test.args...)...)
		if err == nil {
			t.Fatalf("%s %q was accepted", test.file, test.args)
		}
		for _, part := range test.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s %q: error %q does not name %q", test.file, test.args, err, part)
			}
		}
	}
}

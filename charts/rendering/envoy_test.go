package rendering

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/switchyard/switchyard/epp/command"
)

// within bounds every wait of these tests.
const within = 20 * time.Second

// startServer is a model server at an address of loopback, which answers its name.
func startServer(t *testing.T, address, name string) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, name)
	})}}
	s.Start()
	t.Cleanup(s.Close)
	return l.Addr().(*net.TCPAddr).Port
}

// moved is the plain file that a release renders, with addresses of loopback in place of names, and ports of the kernel's choice.
func moved(t *testing.T, r release, picker int, servers ...string) string {
	t.Helper()
	text := dig(t, find(t, r.objects(t), "ConfigMap/my-release-proxy").Object, "data", "envoy.yaml").(string)
	var config map[string]any
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	setPort := func(at any, port int) {
		dig(t, at, "address", "socket_address").(map[string]any)["port_value"] = port
	}
	setPort(config["admin"], 0)
	for _, l := range dig(t, config, "static_resources", "listeners").([]any) {
		setPort(l, 0)
		dig(t, l, "address", "socket_address").(map[string]any)["address"] = "127.0.0.1"
	}
	for _, c := range dig(t, config, "static_resources", "clusters").([]any) {
		endpoints := dig(t, c, "load_assignment", "endpoints", 0).(map[string]any)
		switch c.(map[string]any)["name"] {
		case "epp":
			setPort(dig(t, endpoints, "lb_endpoints", 0, "endpoint"), picker)
		case "servers":
			var all []any
			for _, s := range servers {
				host, port, _ := net.SplitHostPort(s)
				number, _ := strconv.Atoi(port)
				all = append(all, map[string]any{"endpoint": map[string]any{"address": map[string]any{
					"socket_address": map[string]any{"address": host, "port_value": number}}}})
			}
			endpoints["lb_endpoints"] = all
		}
	}
	out, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// runEnvoy starts Envoy with a file and gives the file that will hold the address of its admin interface.
func runEnvoy(t *testing.T, config string) (adminFile string) {
	t.Helper()
	envoy := findEnvoy(t)
	dir := t.TempDir()
	adminFile = filepath.Join(dir, "admin")
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, envoy, "-c", writeFile(t, "envoy.yaml", config), "--service-node", "test", "--disable-hot-restart",
		"--concurrency", "1", "--log-level", "error", "--admin-address-path", adminFile)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Envoy said:\n%.2000s", said.String())
		}
	})
	return adminFile
}

// startEnvoy starts Envoy with a file and gives the address of its listener called http.
func startEnvoy(t *testing.T, config string) string {
	t.Helper()
	adminFile := runEnvoy(t, config)
	var address string
	eventually(t, "Envoy listens", func() error {
		admin, err := os.ReadFile(adminFile)
		if err != nil {
			return err
		}
		body, err := get("http://" + string(admin) + "/listeners?format=json")
		if err != nil {
			return err
		}
		var listeners struct {
			Statuses []struct {
				Name    string `json:"name"`
				Address struct {
					Socket struct {
						Address string `json:"address"`
						Port    int    `json:"port_value"`
					} `json:"socket_address"`
				} `json:"local_address"`
			} `json:"listener_statuses"`
		}
		if err := json.Unmarshal(body, &listeners); err != nil {
			return err
		}
		for _, l := range listeners.Statuses {
			if l.Name == "http" && l.Address.Socket.Port > 0 {
				address = net.JoinHostPort(l.Address.Socket.Address, strconv.Itoa(l.Address.Socket.Port))
				return nil
			}
		}
		return fmt.Errorf("no listener called http in %s", body)
	})
	return address
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func get(url string) ([]byte, error) {
	response, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

// ask sends one chat request and gives the status and who answered.
func ask(address string, headers ...string) (int, string, error) {
	request, err := http.NewRequest(http.MethodPost, "http://"+address+"/v1/chat/completions", strings.NewReader(`{"model":"m","messages":[{"role":"user","content":"Hello"}]}`))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// freePort is a port on which nobody listened a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestServesWithoutPicker: a plain file serves while there is no picker, or answers 503 at once, as it was told; and never goes where a
// client says, be it to a member of the pool or to a stranger.
func TestServesWithoutPicker(t *testing.T) {
	first, second, stranger := startServer(t, "127.0.0.1:0", "first"), startServer(t, "127.0.0.1:0", "second"), startServer(t, "127.0.0.1:0", "stranger")
	for failOpen, want := range map[string]int{"true": http.StatusOK, "false": http.StatusServiceUnavailable} {
		t.Run("failOpen="+failOpen, func(t *testing.T) {
			t.Parallel()
			r := of(t, standalone, labelled, "router.proxy.config=static", "router.proxy.failOpen="+failOpen)
			address := startEnvoy(t, moved(t, r, freePort(t), fmt.Sprintf("127.0.0.1:%d", first), fmt.Sprintf("127.0.0.1:%d", second)))
			for _, asked := range []int{stranger, second} {
				answered := map[string]int{}
				for range 40 {
					status, body, err := ask(address, "x-gateway-destination-endpoint", fmt.Sprintf("127.0.0.1:%d", asked))
					if err != nil || status != want {
						t.Fatalf("status %d, %q, %v; want %d", status, body, err, want)
					}
					answered[body]++
				}
				if answered["stranger"] > 0 || want == http.StatusOK && answered["first"] == 0 {
					t.Errorf("who asks for port %d of %d, %d and %d is answered by %v", asked, first, second, stranger, answered)
				}
			}
		})
	}
}

// TestGoesWhereThePickerSays: a plain file and the picker, over its TLS, understand each other: picks are obeyed.
func TestGoesWhereThePickerSays(t *testing.T) {
	port := startServer(t, "127.0.0.2:0", "second")
	startServer(t, fmt.Sprintf("127.0.0.3:%d", port), "third")
	endpoints := fmt.Sprintf("endpoints:\n- {name: second, address: 127.0.0.2, port: %d}\n- {name: third, address: 127.0.0.3, port: %d}\n", port, port)
	picker := freePort(t)
	startPicker(t, "--config-file", writeFile(t, "config.yaml", headerConfig(t, endpoints)), "--pool-name", "my-release", "--pool-namespace", namespace, "--bind-address", "127.0.0.1",
		"--grpc-port", strconv.Itoa(picker), "--grpc-health-port", "0", "--metrics-port", "0", "--drain-timeout", "0s")

	r := of(t, standalone, labelled, "router.proxy.config=static", "router.proxy.failOpen=false")
	address := startEnvoy(t, moved(t, r, picker, fmt.Sprintf("127.0.0.2:%d", port), fmt.Sprintf("127.0.0.3:%d", port)))
	expectPicks(t, address, map[string]string{"127.0.0.2": "second", "127.0.0.3": "third"})
}

// TestModelsComeBackUnderTheirNameByFile: with a plain file, too, a model that is rewritten by header goes out under its new name, and comes
// back under the one that was asked for, and answers end.
func TestModelsComeBackUnderTheirNameByFile(t *testing.T) {
	var seen atomic.Pointer[string]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			return // the picker asks for metrics
		}
		var asked struct{ Model string }
		_ = json.NewDecoder(r.Body).Decode(&asked)
		seen.Store(&asked.Model)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"model":%q,"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}`, asked.Model)
	}))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	host, port, _ := net.SplitHostPort(address)
	picker := freePort(t)
	startPicker(t, "--config-file", writeFile(t, "config.yaml", headerConfig(t, fmt.Sprintf("endpoints:\n- {name: only, address: %s, port: %s}\n", host, port))),
		"--pool-name", "my-release", "--pool-namespace", namespace, "--bind-address", "127.0.0.1",
		"--grpc-port", strconv.Itoa(picker), "--grpc-health-port", "0", "--metrics-port", "0", "--drain-timeout", "0s")
	proxy := startEnvoy(t, moved(t, of(t, standalone, labelled, "router.proxy.config=static", "router.proxy.failOpen=false"), picker, address))
	say := func(model string, headers ...string) func() error {
		return func() error {
			status, body, err := ask(proxy, headers...)
			if err != nil || status != http.StatusOK {
				return fmt.Errorf("status %d, %w", status, err)
			}
			if got := *seen.Load(); got != model || !strings.Contains(body, `"model":"m"`) {
				return fmt.Errorf("the server was asked for %q, want %q; the client got %s", got, model, body)
			}
			return nil
		}
	}
	eventually(t, "a pick", say("m"))
	for range 5 {
		for _, header := range []string{"x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite"} {
			if err := say("other", header, "other")(); err != nil {
				t.Errorf("%s: %v", header, err)
			}
		}
		if err := say("m")(); err != nil {
			t.Error(err)
		}
	}
}

// headerConfig is a configuration by which a request's header chooses among the endpoints of a file.
func headerConfig(t *testing.T, endpoints string) string {
	t.Helper()
	return fmt.Sprintf(`apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: header-based-testing-filter}
- {type: file-discovery, parameters: {path: %q}}
schedulingProfiles: [{name: default, plugins: [{pluginRef: header-based-testing-filter}]}]
dataLayer: {discovery: {pluginRef: file-discovery}}
`, writeFile(t, "endpoints.yaml", endpoints))
}

// expectPicks waits for the first answer, and then asks for each of the servers by turns.
func expectPicks(t *testing.T, address string, servers map[string]string) {
	t.Helper()
	eventually(t, "a pick", func() error {
		if status, _, err := ask(address); err != nil || status != http.StatusOK {
			return fmt.Errorf("status %d, %w", status, err)
		}
		return nil
	})
	for range 10 {
		for ip, want := range servers {
			status, body, err := ask(address, "test-epp-endpoint-selection", ip)
			if err != nil || status != http.StatusOK || body != want {
				t.Fatalf("status %d, %q, %v; want %q", status, body, err, want)
			}
		}
	}
}

// startPicker runs one until the end of the test, or until it is ended.
func startPicker(t *testing.T, args ...string) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := command.New(command.Options{Name: "epp"})
	var said bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetOut(&said)
	cmd.SetErr(&said)
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the picker ended: %v", err)
		}
		if t.Failed() {
			t.Logf("the picker said:\n%.2000s", said.String())
		}
	})
	t.Cleanup(end)
	return end
}

// TestConfiguredByThePicker: the file of a proxy and the picker's arguments for proxies, as they are rendered, lead to each other: the proxy
// is given its listener and the pool, and obeys picks.
func TestConfiguredByThePicker(t *testing.T) {
	port := startServer(t, "127.0.0.4:0", "fourth")
	startServer(t, fmt.Sprintf("127.0.0.5:%d", port), "fifth")
	endpoints := fmt.Sprintf("endpoints:\n- {name: fourth, address: 127.0.0.4, port: %d}\n- {name: fifth, address: 127.0.0.5, port: %d}\n", port, port)
	picker, xds, listener := freePort(t), freePort(t), freePort(t)
	objects := of(t, standalone, labelled, "router.proxy.failOpen=false").objects(t)
	args := []string{"--config-file", writeFile(t, "config.yaml", headerConfig(t, endpoints)), "--pool-name", "my-release", "--pool-namespace", namespace,
		"--bind-address", "127.0.0.1", "--grpc-port", strconv.Itoa(picker), "--grpc-health-port", "0", "--metrics-port", "0", "--drain-timeout", "0s"}
	ports := strings.NewReplacer(":18000", fmt.Sprintf(":%d", xds), ":9002", fmt.Sprintf(":%d", picker), "0.0.0.0:8081", fmt.Sprintf("127.0.0.1:%d", listener))
	for _, arg := range container(t, workloads(t, objects)[0], "epp").Args {
		if strings.HasPrefix(arg, "--proxy-") {
			args = append(args, ports.Replace(arg))
		}
	}
	startPicker(t, args...)

	var config map[string]any
	text := dig(t, find(t, objects, "ConfigMap/my-release-proxy").Object, "data", "envoy.yaml").(string)
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	for _, at := range []any{config["admin"], dig(t, config, "static_resources", "listeners", 0)} {
		dig(t, at, "address", "socket_address").(map[string]any)["port_value"] = 0
	}
	for _, c := range dig(t, config, "static_resources", "clusters").([]any) {
		if c.(map[string]any)["name"] == "xds" {
			dig(t, c, "load_assignment", "endpoints", 0, "lb_endpoints", 0, "endpoint", "address", "socket_address").(map[string]any)["port_value"] = xds
		}
	}
	changed, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	runEnvoy(t, string(changed))
	expectPicks(t, fmt.Sprintf("127.0.0.1:%d", listener), map[string]string{"127.0.0.4": "fourth", "127.0.0.5": "fifth"})
}

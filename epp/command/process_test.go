package command

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/switchyard/switchyard/internal/lease"
)

// asProcess, in the environment, makes this test binary the command itself.
const asProcess = "SWITCHYARD_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) != "" {
		Main()
		return
	}
	os.Exit(m.Run())
}

// process is the command as a process of its own.
type process struct {
	*picker
	command *exec.Cmd
	ended   chan error
	metrics string
}

// startProcess runs `controlplane epp` as a process until the end of the test.
func startProcess(t *testing.T, environment []string, args ...string) *process {
	t.Helper()
	p := &process{picker: &picker{t: t, log: &log{}}, ended: make(chan error, 1)}
	p.command = exec.Command(os.Args[0], append([]string{"--grpc-port", "0", "--grpc-health-port", "0", "--metrics-port", "0",
		"--bind-address", "127.0.0.1", "--zap-encoder", "json"}, args...)...)
	p.command.Env = append(append(os.Environ(), asProcess+"=1"), environment...)
	p.command.Stderr = p.log
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.command.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.ended
	})
	p.eventually("the process serves", func() bool { return p.picker.log.line("picking") != nil })
	line := p.picker.log.line("picking")
	p.extProc, p.health, p.metrics = line["ext_proc"].(string), line["health"].(string), line["metrics"].(string)
	return p
}

// terminate sends SIGTERM.
func (p *process) terminate() {
	p.t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
}

// page asks for a page and returns the status and the text.
func page(t *testing.T, client *http.Client, url, token string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, text.String()
}

func TestReplicasOnACluster(t *testing.T) {
	api := newClusterAPI(t)
	kubeconfig := api.kubeconfig(t)
	start := func(name string, drain string) *process {
		return startProcess(t, []string{"POD_NAME=" + name, "NAMESPACE=models"}, "--kubeconfig", kubeconfig, "--pool-name", "llama",
			"--ha-enable-leader-election", "--drain-timeout", drain)
	}
	first := start("epp-a", "60s")
	firstHealth := first.dial(first.health, insecure.NewCredentials())
	first.eventually("the first replica is ready", func() bool { return first.healthOf(firstHealth, "readiness") == "SERVING" })
	if got := api.holder("epp-models-llama.llm-d.ai"); got != "epp-a" {
		t.Errorf("the lease is held by %q", got)
	}
	second := start("epp-b", "1s")
	secondHealth, secondRPC := second.dial(second.health, insecure.NewCredentials()), second.dial(second.extProc, unverified())
	// It knows its endpoints though it does not lead.
	second.eventually("the follower knows its pool", func() bool { at, err := second.ask(secondRPC); return err == nil && at == "127.0.0.9:1" })
	for _, conn := range []*grpc.ClientConn{secondHealth, secondRPC} {
		for service, want := range map[string]string{"": "NOT_SERVING", "readiness": "NOT_SERVING", "liveness": "SERVING",
			"envoy.service.ext_proc.v3.ExternalProcessor": "NOT_SERVING", "inference-extension": "SERVICE_UNKNOWN"} {
			if got := second.healthOf(conn, service); got != want {
				t.Errorf("%q of the follower is %s, want %s", service, got, want)
			}
		}
	}
	first.checkPages(api)

	watch, err := healthv1.NewHealthClient(secondRPC).Watch(t.Context(), &healthv1.HealthCheckRequest{Service: "readiness"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); err != nil || got.GetStatus().String() != "NOT_SERVING" {
		t.Fatalf("the watch begins with %v, %v", got, err)
	}
	first.terminate()
	if got, err := watch.Recv(); err != nil || got.GetStatus().String() != "SERVING" {
		t.Fatalf("the watch goes on with %v, %v", got, err)
	}
	if got := api.holder("epp-models-llama.llm-d.ai"); got != "epp-b" {
		t.Errorf("the lease is held by %q after the first replica gave it up", got)
	}
	// The one that drains is not ready, is alive, and serves.
	for service, want := range map[string]string{"readiness": "NOT_SERVING", "liveness": "SERVING"} {
		if got := first.healthOf(firstHealth, service); got != want {
			t.Errorf("%q of the one that drains is %s, want %s", service, got, want)
		}
	}
	if at, err := first.ask(first.dial(first.extProc, unverified())); err != nil || at != "127.0.0.9:1" {
		t.Errorf("the one that drains picks %q, %v", at, err)
	}
	second.endsAfterItsDrain(time.Second)
	if got := api.holder("epp-models-llama.llm-d.ai"); got != "" {
		t.Errorf("the lease is held by %q after all have ended", got)
	}
}

// endsAfterItsDrain sends SIGTERM and expects the process to serve on for as long as it was told, and to end well.
func (p *process) endsAfterItsDrain(drain time.Duration) {
	p.t.Helper()
	began := time.Now()
	p.terminate()
	select {
	case err := <-p.ended:
		if lasted := time.Since(began); err != nil || lasted < drain {
			p.t.Errorf("ended %s after SIGTERM with %v, want at least %s; log:\n%s", lasted, err, drain, p.picker.log)
		}
	case <-time.After(patience):
		p.t.Errorf("has not ended; log:\n%s", p.picker.log)
	}
}

// checkPages reads the pages of the port of metrics as somebody with, without and with the wrong rights.
func (p *process) checkPages(api *clusterAPI) {
	p.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	for _, test := range []struct {
		path, token string
		status      int
		text        string
	}{
		{"/metrics", "", 401, "bearer token"},
		{"/metrics", "nobody", 401, "bearer token"},
		{"/metrics", "reader", 200, `llm_d_epp_ready_endpoints{name="llama"} 1`},
		{"/metrics", "reader", 200, `llm_d_epp_config_last_reload_successful 1`},
		{"/metrics", "other", 403, "does not allow"},
		{"/debug/plugins/state", "", 401, "bearer token"},
		{"/debug/plugins/state", "reader", 200, `"endpoint": "models/llama-0-rank-0"`},
		{"/debug/pprof/cmdline", "", 401, "bearer token"},
		{"/debug/pprof/cmdline", "reader", 200, "--pool-name"},
	} {
		status, text := page(p.t, client, "http://"+p.metrics+test.path, test.token)
		if status != test.status || !strings.Contains(text, test.text) {
			p.t.Errorf("%s with %q: %d, want %d with %q; got %q", test.path, test.token, status, test.status, test.text, text)
		}
	}
	if got := api.reviewsOf("reader"); got != 3 {
		p.t.Errorf("the API server was asked %d times about a token on three paths", got)
	}
}

func TestWrongFlagsEndTheProcess(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--no-such-flag"}, "unknown flag: --no-such-flag"},
		{[]string{"--pool-name", "a", "--endpoint-selector", "a=b"}, "exclude each other"},
		{[]string{"-f", dir, "--cache-info-metric", "x"}, "engineConfigs"},
		{[]string{"-f", dir, "--config-text", "kind: x"}, "kind"},
		{[]string{"validate", filepath.Join(dir, "none.yaml")}, "none.yaml"},
	} {
		command := exec.Command(os.Args[0], test.args...)
		command.Env = append(os.Environ(), asProcess+"=1")
		text, err := command.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(text), test.want) {
			t.Errorf("%q: %v, %q; want status 1 and %q", test.args, err, text, test.want)
		}
	}
}

// TestALeaseThatIsLost lets the API server take the lease away.
func TestALeaseThatIsLost(t *testing.T) {
	noLeaks(t)
	api := newClusterAPI(t)
	var changes log
	made, err := newLeadership(api.config(), "models", "epp-x", "me",
		lease.Timing{Duration: time.Second, Renew: 500 * time.Millisecond, Retry: 50 * time.Millisecond}, discard)
	if err != nil {
		t.Fatal(err)
	}
	made.changed = func() { _, _ = changes.Write([]byte("changed\n")) }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); made.lease.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	p := &picker{t: t, log: &changes}
	p.eventually("it leads", made.held.Load)
	api.steal("epp-x", "somebody else")
	p.eventually("it leads no more", func() bool { return !made.held.Load() })
	api.steal("epp-x", "")
	p.eventually("it leads again", made.held.Load)
	cancel()
	<-ended
	if made.held.Load() || api.holder("epp-x") != "" {
		t.Errorf("after the end: held %v, by %q", made.held.Load(), api.holder("epp-x"))
	}
	if got := strings.Count(changes.String(), "changed"); got != 4 {
		t.Errorf("told of %d changes, want 4", got)
	}
}

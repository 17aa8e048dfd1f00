package command

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/internal/source"
)

func TestEPPSaysWhatToGive(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("POD_NAME", "picker")
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "pool.yaml"), pool)
	for _, test := range []struct {
		args string
		want []string // in the error
	}{
		{"", []string{"--pool-name", "-f"}},
		{"--pool-namespace models", []string{"--pool-name", "-f"}},
		{"--pool-name llama --pool-namespace models", []string{"models/llama", "--kubeconfig", "KUBECONFIG", "-f"}},
		{"--pool-name llama --kubeconfig " + dir + "/none", []string{dir + "/none"}},
		{"-f " + dir + "/none", []string{"-f", "none"}},
		{"-f " + dir + " --kubeconfig " + dir + "/none", []string{"filename", "kubeconfig"}},
		{"-f " + dir + " --config-file a --config-text b", []string{"config-file", "config-text"}},
		{"-f " + dir + " --config-text x", []string{"--config-text"}},
		{"-f " + dir + " --pool-group example.com", []string{"--pool-group", "example.com", "inference.networking.k8s.io"}},
		{"-f " + dir + " --zap-encoder xml", []string{"--zap-encoder", "xml", "json", "console"}},
		{"-f " + dir + " --zap-log-level loud", []string{"--zap-log-level", "loud"}},
		{"-f " + dir + " -v -1", []string{"-v", "-1"}},
		{"-f " + dir + " --cert-path " + dir, []string{"--cert-path", "tls.crt"}},
		{"-f " + dir + " --cert-path " + dir + " --secure-serving=false", []string{"--cert-path", "--secure-serving"}},
		{"-f " + dir + " --grpc-port 70000", []string{"--grpc-port", "70000"}},
		{"-f " + dir + " --grpc-port 0 --grpc-health-port -4", []string{"--grpc-health-port"}},
		{"-f " + dir + " --total-queued-requests-metric x", []string{"--total-queued-requests-metric", "engineConfigs", "core-metrics-extractor"}},
		{"-f " + dir + " --total-running-requests-metric=", []string{"--total-running-requests-metric", "engineConfigs"}},
		{"-f " + dir + " --kv-cache-usage-percentage-metric x", []string{"--kv-cache-usage-percentage-metric", "engineConfigs"}},
		{"-f " + dir + " --lora-info-metric x", []string{"--lora-info-metric", "engineConfigs"}},
		{"-f " + dir + " --cache-info-metric x", []string{"--cache-info-metric", "engineConfigs"}},
		{"-f " + dir + " --grpc-max-recv-msg-size 4XB", []string{"--grpc-max-recv-msg-size", "4XB", "10MiB"}},
		{"-f " + dir + " --grpc-max-recv-msg-size -4", []string{"--grpc-max-recv-msg-size", "below 0"}},
		{"-f " + dir + " --grpc-max-send-msg-size 9GiB", []string{"--grpc-max-send-msg-size", "9GiB", "more than"}},
		{"-f " + dir + " --tls-min-version 1.2", []string{"--tls-min-version", "VersionTLS12"}},
		{"-f " + dir + " --tls-cipher-suites TLS_RSA_WITH_RC4_128_SHA", []string{"--tls-cipher-suites", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}},
		{"-f " + dir + " --tls-cipher-suites TLS_AES_128_GCM_SHA256", []string{"--tls-cipher-suites", "TLS 1.3"}},
		{"-f " + dir + " --metrics-endpoint-auth", []string{"--metrics-endpoint-auth", "-f"}},
		{"-f " + dir + " --metrics-client-ca-file x", []string{"--metrics-client-ca-file", "--metrics-cert-dir"}},
		{"-f " + dir + " --metrics-cert-dir " + dir, []string{"--metrics-cert-dir", "--metrics-client-ca-file"}},
		{"--pool-name llama --metrics-endpoint-auth=false --metrics-cert-dir " + dir, []string{"--metrics-cert-dir", "--metrics-client-ca-file", "--metrics-endpoint-auth"}},
		{"-f " + dir + " --ha-enable-leader-election", []string{"--ha-enable-leader-election", "-f"}},
		{"-f " + dir + " --refresh-prometheus-metrics-interval -1s", []string{"--refresh-prometheus-metrics-interval"}},
		{"-f " + dir + " --metrics-staleness-threshold 0s", []string{"--metrics-staleness-threshold"}},
		{"-f " + dir + " --drain-timeout -1s", []string{"--drain-timeout"}},
		{"-f " + dir + " --zap-time-encoding noon", []string{"--zap-time-encoding", "rfc3339"}},
		{"-f " + dir + " --zap-stacktrace-level warn", []string{"--zap-stacktrace-level", "panic"}},
		{"--pool-name llama --endpoint-selector app=llama --endpoint-target-ports 8000", []string{"--pool-name", "--endpoint-selector"}},
		{"--pool-name llama --endpoint-target-ports 8000", []string{"--endpoint-target-ports", "--endpoint-selector"}},
		{"--endpoint-selector app=llama", []string{"--endpoint-target-ports", "1 to 8"}},
		{"--endpoint-selector app=llama --endpoint-target-ports 1,2,3,4,5,6,7,8,9", []string{"--endpoint-target-ports", "9 ports"}},
		{"--endpoint-selector app=llama --endpoint-target-ports 70000", []string{"--endpoint-target-ports", "70000"}},
		{"--endpoint-selector app=llama --endpoint-target-ports 8000", []string{"POD_NAME", "picker", "<deployment>-<hash>-<suffix>"}},
		{"--endpoint-selector a==b==c --endpoint-target-ports 8000", []string{"--endpoint-selector", "a==b==c"}},
	} {
		root := New(Options{})
		root.SetArgs(strings.Fields(test.args))
		root.SetErr(io.Discard)
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // one that starts nevertheless ends at once
		err := root.ExecuteContext(ctx)
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

// TestEPPTakesTheArgumentsOfOtherPickers parses command lines as deployments have them.
func TestEPPTakesTheArgumentsOfOtherPickers(t *testing.T) {
	for _, args := range []string{
		"--pool-name primary-inference-pool --pool-namespace models --zap-encoder json --grpc-port 9002 --grpc-health-port 9003",
		"--pool-name llama --pool-namespace models --pool-group inference.networking.k8s.io --zap-encoder json --grpc-health-port=9003 --v=1",
		"-v 4 --pool-name llama --secure-serving=false --health-checking=true --enable-cert-reload=true",
	} {
		cmd := New(Options{})
		if err := cmd.ParseFlags(strings.Fields(args)); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestEPPDefaults(t *testing.T) {
	t.Setenv("NAMESPACE", "")
	for name, test := range map[string]struct {
		flags         pickerFlags
		env           string
		address, pool string
	}{
		"a folder is served on loopback":      {flags: pickerFlags{manifests: "dir"}, address: "127.0.0.1"},
		"unless told otherwise":               {flags: pickerFlags{manifests: "dir", bind: "0.0.0.0"}, address: "0.0.0.0"},
		"a cluster on all interfaces":         {flags: pickerFlags{pool: poolFlags{name: "llama"}}, pool: "default/llama"},
		"the namespace of the environment":    {flags: pickerFlags{pool: poolFlags{name: "llama"}}, env: "models", pool: "models/llama"},
		"the flag beats the environment":      {flags: pickerFlags{pool: poolFlags{name: "llama", namespace: "other"}}, env: "models", pool: "other/llama"},
		"an address of one interface is kept": {flags: pickerFlags{pool: poolFlags{name: "llama"}, bind: "127.0.0.1"}, address: "127.0.0.1", pool: "default/llama"},
	} {
		t.Setenv("NAMESPACE", test.env)
		if got := test.flags.address(); got != test.address {
			t.Errorf("%s: address %q, want %q", name, got, test.address)
		}
		if got := test.flags.pool.key(); got != test.pool {
			t.Errorf("%s: pool %q, want %q", name, got, test.pool)
		}
	}
}

func TestEPPLogLevels(t *testing.T) {
	for args, want := range map[string]slog.Level{
		"": slog.LevelInfo, "-v 0": slog.LevelInfo, "-v=3": slog.LevelInfo, "-v 4": slog.LevelDebug, "--v=5": slog.LevelDebug,
		"--verbose --verbose": slog.LevelDebug, "--zap-log-level debug": slog.LevelDebug, "--zap-log-level error": slog.LevelError,
		"--zap-log-level info -v 5": slog.LevelInfo, "--zap-log-level 5": slog.LevelDebug, "--zap-log-level 2": slog.LevelInfo,
	} {
		var flags logFlags
		cmd := New(Options{})
		// The command's own flags are those of its run; these are another set of the same.
		cmd.ResetFlags()
		set := pflag.NewFlagSet("epp", pflag.ContinueOnError)
		flags.register(set)
		cmd.Flags().AddFlagSet(set)
		if err := cmd.ParseFlags(strings.Fields(args)); err != nil {
			t.Errorf("%q: %v", args, err)
			continue
		}
		var text bytes.Buffer
		cmd.SetErr(&text)
		logger, err := flags.open(cmd)
		if err != nil {
			t.Errorf("%q: %v", args, err)
			continue
		}
		if !logger.Enabled(t.Context(), want) || logger.Enabled(t.Context(), want-1) {
			t.Errorf("%q does not log from %s on", args, want)
		}
	}
}

func TestOnACLusterOnlyTheNamedPoolIsFollowed(t *testing.T) {
	pools := datalayer.New(datalayer.Options{})
	flags := pickerFlags{pool: poolFlags{name: "llama", namespace: "models"}}
	followed := flags.followed(pools)
	followed.Set("models/other", nil)
	followed.Set("models/llama", nil)
	if list := pools.List(); len(list) != 1 || list[0].Key() != "models/llama" {
		t.Errorf("pools %v", list)
	}
	if !flags.synced(pools)() {
		t.Error("not synced though the pool is there")
	}
	followed.Delete("models/other")
	followed.Delete("models/llama")
	if len(pools.List()) != 0 || flags.synced(pools)() {
		t.Error("a deleted pool is still followed")
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int{
		"10MiB": 10 << 20, "25MB": 25e6, "4194304": 4 << 20, "64Ki": 64 << 10, "1.5MiB": 3 << 19, "2 GB": 2e9, "7B": 7, "100k": 1e5,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1e3", "NaN", "Inf", "3GiB", "0", "0.5B", "1 2", "0x10", "1TiB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func TestAPoolMadeOfASelector(t *testing.T) {
	t.Setenv("NAMESPACE", "models")
	t.Setenv("POD_NAME", "llama-epp-7d9f8b6c5-x2x4z")
	flags := poolFlags{group: poolGroupV1, selector: "app in (llama,qwen),!canary", ports: []int{8001, 8000, 8001}}
	if err := flags.validate(); err != nil {
		t.Fatal(err)
	}
	if flags.key() != "models/llama-epp" || leaseName("models", flags.named()) != "epp-models-llama-epp.llm-d.ai" {
		t.Errorf("pool %q, lease %q", flags.key(), leaseName("models", flags.named()))
	}
	if !slices.Equal(flags.ports, []int{8001, 8000}) {
		t.Errorf("ports %v", flags.ports)
	}
	selector, err := flags.labels()
	if err != nil {
		t.Fatal(err)
	}
	pod := func(name, ip, ready string, annotations, labels map[string]string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "models", Name: name, Labels: labels, Annotations: annotations},
			Status: corev1.PodStatus{PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionStatus(ready)}}}}
	}
	gone := pod("gone", "10.0.0.9", "True", nil, map[string]string{"app": "llama"})
	gone.DeletionTimestamp = &metav1.Time{}
	elsewhere := pod("elsewhere", "10.0.0.8", "True", nil, map[string]string{"app": "llama"})
	elsewhere.Namespace = "other"
	selected := selectedPods{key: flags.key(), namespace: "models", selector: selector, ports: flags.ports}
	specs := selected.specs(&source.Objects{Pods: source.NewSet(gone, elsewhere,
		pod("a", "10.0.0.1", "True", nil, map[string]string{"app": "llama"}),
		pod("b", "10.0.0.2", "True", map[string]string{source.ActivePortsAnnotation: "8000, 9"}, map[string]string{"app": "qwen"}),
		pod("canary", "10.0.0.3", "True", nil, map[string]string{"app": "llama", "canary": ""}),
		pod("late", "10.0.0.4", "False", nil, map[string]string{"app": "llama"}),
		pod("new", "", "True", nil, map[string]string{"app": "llama"}),
		pod("six", "fd00::1", "True", nil, map[string]string{"app": "llama"}),
	)})
	var got []string
	for _, spec := range specs {
		got = append(got, spec.Name+" "+spec.Address)
	}
	want := []string{"a-rank-0 10.0.0.1:8001", "a-rank-1 10.0.0.1:8000", "b-rank-1 10.0.0.2:8000",
		"six-rank-0 [fd00::1]:8001", "six-rank-1 [fd00::1]:8000"}
	if !slices.Equal(got, want) {
		t.Errorf("endpoints %q, want %q", got, want)
	}
}

func TestNamesOfPods(t *testing.T) {
	for pod, want := range map[string]string{
		"epp-7d9f8b6c5-x2x4z": "epp", "my-epp-v2-7d9f8b6c5-x2x4z": "my-epp-v2", "epp.v2-abc-x": "epp.v2",
		"": "", "epp": "", "epp-0": "", "-a-b": "", "Epp-a-b": "",
	} {
		if got, err := deploymentOf(pod); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", pod, got, err, want)
		}
	}
}

func TestScrapeOptions(t *testing.T) {
	for args, want := range map[string]datalayer.Options{
		"":                                  {Interval: 50 * time.Millisecond, StaleAfter: 2 * time.Second},
		"--refresh-metrics-interval 0s":     {Interval: 50 * time.Millisecond, StaleAfter: 2 * time.Second},
		"--refresh-metrics-interval 5ms":    {Interval: 50 * time.Millisecond, StaleAfter: 2 * time.Second},
		"--refresh-metrics-interval 200ms":  {Interval: 200 * time.Millisecond, StaleAfter: 2 * time.Second},
		"--metrics-staleness-threshold 1s":  {Interval: 50 * time.Millisecond, StaleAfter: time.Second},
		"--metrics-staleness-threshold 1ms": {Interval: 50 * time.Millisecond, StaleAfter: time.Millisecond},
	} {
		var flags scrapeFlags
		set := pflag.NewFlagSet("epp", pflag.ContinueOnError)
		flags.register(set)
		if err := set.Parse(strings.Fields(args)); err != nil {
			t.Fatal(err)
		}
		log := slog.New(slog.DiscardHandler)
		want.Logger = log
		if got := flags.options(log); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, want %+v", args, got, want)
		}
	}
}

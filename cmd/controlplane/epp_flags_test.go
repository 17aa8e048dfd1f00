package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/switchyard/switchyard/epp/datalayer"
)

func TestEPPSaysWhatToGive(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
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
	} {
		root := newRoot()
		root.SetArgs(append([]string{"epp"}, strings.Fields(test.args)...))
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
		cmd := newEPP()
		if err := cmd.ParseFlags(strings.Fields(args)); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestEPPDefaults(t *testing.T) {
	t.Setenv("NAMESPACE", "")
	for name, test := range map[string]struct {
		flags         eppFlags
		env           string
		address, pool string
	}{
		"a folder is served on loopback":      {flags: eppFlags{manifests: "dir"}, address: "127.0.0.1"},
		"unless told otherwise":               {flags: eppFlags{manifests: "dir", bind: "0.0.0.0"}, address: "0.0.0.0"},
		"a cluster on all interfaces":         {flags: eppFlags{poolName: "llama"}, pool: "default/llama"},
		"the namespace of the environment":    {flags: eppFlags{poolName: "llama"}, env: "models", pool: "models/llama"},
		"the flag beats the environment":      {flags: eppFlags{poolName: "llama", poolNamespace: "other"}, env: "models", pool: "other/llama"},
		"an address of one interface is kept": {flags: eppFlags{poolName: "llama", bind: "127.0.0.1"}, address: "127.0.0.1", pool: "default/llama"},
	} {
		t.Setenv("NAMESPACE", test.env)
		if got := test.flags.address(); got != test.address {
			t.Errorf("%s: address %q, want %q", name, got, test.address)
		}
		if got := test.flags.defaultPool(); got != test.pool {
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
		var flags eppLogFlags
		cmd := newEPP()
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
	flags := eppFlags{poolName: "llama", poolNamespace: "models"}
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

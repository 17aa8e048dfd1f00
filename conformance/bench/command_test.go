package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/switchyard/switchyard/conformance/bench/cases"
	"github.com/switchyard/switchyard/conformance/bench/results"
	"github.com/switchyard/switchyard/conformance/bench/stats"
)

func parsed(t *testing.T, args ...string) (*settings, error) {
	t.Helper()
	s := &settings{}
	f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	s.flags(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return s, s.check()
}

func TestDefaultsCanBeUsed(t *testing.T) {
	s, err := parsed(t)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(s.stage.Namespace, "bench-") || len(s.bench.Only) != len(cases.All()) || s.bench.Routes != 1000 {
		t.Errorf("namespace %q, cases %v, %d routes", s.stage.Namespace, s.bench.Only, s.bench.Routes)
	}
	if len(s.bench.DataPlane) != 1 || s.bench.DataPlane[0].Namespace != s.stage.Namespace ||
		s.bench.DataPlane[0].Labels.String() != "gateway.networking.k8s.io/gateway-name=bench" {
		t.Errorf("proxies are looked for with %+v", s.bench.DataPlane)
	}
}

func TestSettingsThatCannotBeMeantNameTheirFlag(t *testing.T) {
	for flags, want := range map[string]string{
		"--only=attached,speed":             `no case "speed"`,
		"--routes=-1":                       "--routes",
		"--consecutive=0":                   "--consecutive",
		"--propagation-every=0s":            "--propagation-every",
		"--flip-bound=2s --flip-every=1s":   "--flip-bound",
		"--control-plane-selector=app=x":    "--control-plane-selector",
		"--proxy-selector=*/":               "--proxy-selector",
		"--flip-connections=0 --routes=100": "--flip-connections",
	} {
		if _, err := parsed(t, strings.Fields(flags)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error that says %q", flags, err, want)
		}
	}
}

func TestTheProgramWantsAGatewayClass(t *testing.T) {
	c := command(slog.New(slog.NewTextHandler(io.Discard, nil)))
	c.SetArgs(nil)
	if err := c.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "gateway-class") {
		t.Errorf("got %v", err)
	}
	var help bytes.Buffer
	c.SetOut(&help)
	c.SetArgs([]string{"--help"})
	if err := c.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range append(cases.All(), "--gateway-class", "--control-plane-selector", "{namespace}") {
		if !strings.Contains(help.String(), want) {
			t.Errorf("the help does not say %q", want)
		}
	}
}

func TestResultsAreWrittenEvenWhenACaseFailed(t *testing.T) {
	s := &settings{out: filepath.Join(t.TempDir(), "results.json")}
	c := command(slog.New(slog.NewTextHandler(io.Discard, nil)))
	var table bytes.Buffer
	c.SetOut(&table)
	r := &results.Results{
		GatewayClass: "some",
		Propagation:  &results.Propagation{First: stats.Distribution{Count: 1, P50: 12.5}, Wrong: map[string]int{"503": 2, "500": 1}},
		Errors:       []string{"flips: went wrong"},
	}
	if err := s.report(c, r); err == nil || !strings.Contains(err.Error(), "1 cases failed") {
		t.Errorf("want an error for the exit code, got %v", err)
	}
	for _, want := range []string{"flips: went wrong", "p50 12.5", "3 [500: 1, 503: 2]"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, table.String())
		}
	}
	text, err := os.ReadFile(s.out)
	if err != nil {
		t.Fatal(err)
	}
	var back results.Results
	if err := json.Unmarshal(text, &back); err != nil || back.Propagation.Wrong["503"] != 2 || back.Propagation.First.P50 != 12.5 {
		t.Errorf("the file holds %s (%v)", text, err)
	}
}

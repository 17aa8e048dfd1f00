package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheQuickstartCompilesLittle: what speaks to a cluster is not in the program that `make run` builds, and the commands that need it
// say so.
func TestTheQuickstartCompilesLittle(t *testing.T) {
	listed, err := exec.Command("go", "list", "-deps", "-tags", "quickstart", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dependency := range strings.Lines(string(listed)) {
		for _, heavy := range []string{"k8s.io/client-go/", "sigs.k8s.io/controller-runtime/", "go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters/"} {
			if strings.HasPrefix(dependency, heavy) {
				t.Errorf("the quickstart depends on %s", dependency)
			}
		}
	}
	program := filepath.Join(t.TempDir(), "quickstart")
	if text, err := exec.Command("go", "build", "-tags", "quickstart", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, args := range [][]string{{"epp", "--pool-name", "llama"}, {"epp", "validate", "x"}, {"serve", "-f", "."}, {"serve"}} {
		text, err := exec.Command(program, args...).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Count(string(text), "\n") != 1 || !strings.Contains(string(text), "`make build`") {
			t.Errorf("%q: %v, %q; want status 1 and one sentence", args, err, text)
		}
	}
	for _, args := range [][]string{{"run", "--help"}, {"sim", "--help"}, {"translate", "--help"}, {"status", "--help"}, {"drain", "--help"}} {
		if text, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			t.Errorf("%q: %v, %s", args, err, text)
		}
	}
}

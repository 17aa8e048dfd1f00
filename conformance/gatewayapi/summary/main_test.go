package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const gateway = `
kind: ConformanceReport
profiles:
- name: GATEWAY-HTTP
  core: {result: success, statistics: {Passed: 36, Failed: 0, Skipped: 0}}
  extended:
    result: partial
    statistics: {Passed: 20, Failed: 0, Skipped: 1}
    skippedTests: [HTTPRouteCORS]
    supportedFeatures: [HTTPRouteCORS, ListenerSet]
    unsupportedFeatures: [HTTPRouteRetry]
`

const inference = `
GatewayAPIInferenceExtensionVersion: v1.6.0
kind: ConformanceReport
profiles:
- name: Gateway
  core: {result: success, statistics: {Passed: 14, Failed: 0, Skipped: 0}}
`

func report(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := summarize(&out, []string{report(t, gateway), report(t, inference)}); err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(out.String()) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"profile core passed failed skipped extended passed failed skipped features unsupported",
		"GATEWAY-HTTP 36 0 0 20 0 1 2 1",
		"Gateway 14 0 0 - - - - -",
		"GATEWAY-HTTP, extended tests skipped: HTTPRouteCORS",
		"GATEWAY-HTTP, unsupported features: HTTPRouteRetry",
	}
	if got := strings.Join(rows, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestWhatDoesNotPass(t *testing.T) {
	for name, content := range map[string]string{
		"core failed":     strings.Replace(inference, "Failed: 0", "Failed: 1", 1),
		"core skipped":    strings.Replace(inference, "Skipped: 0", "Skipped: 1", 1),
		"nothing ran":     strings.Replace(inference, "Passed: 14", "Passed: 0", 1),
		"extended failed": strings.Replace(gateway, "Passed: 20, Failed: 0", "Passed: 20, Failed: 1", 1),
		"no profile":      "kind: ConformanceReport\n",
		"no report":       "<html>",
	} {
		t.Run(name, func(t *testing.T) {
			if err := summarize(&strings.Builder{}, []string{report(t, gateway), report(t, content)}); err == nil {
				t.Errorf("passes, with the report\n%s", content)
			}
		})
	}
	if err := summarize(&strings.Builder{}, []string{report(t, gateway), filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("passes without one of the reports")
	}
}

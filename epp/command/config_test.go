package command

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/config"
)

// nowhere is a configuration that filters all endpoints away.
const nowhere = `apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: label-selector-filter
  parameters: {matchLabels: {app: nobody}}
`

func TestAChangedConfigurationTakesEffect(t *testing.T) {
	noLeaks(t)
	dir, etc := t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(dir, "pool.yaml"), pool)
	file := filepath.Join(etc, "config.yaml")
	put := func(text string) {
		t.Helper()
		writeFile(t, file+".next", text)
		if err := os.Rename(file+".next", file); err != nil {
			t.Fatal(err)
		}
	}
	put(string(config.DefaultText()))
	p := startEPP(t, "-f", dir, "--config-file", file, "--enable-grpc-stream-metrics")
	conn := p.dial(p.extProc, unverified())
	picks := func(want string) func() bool {
		return func() bool { at, err := p.ask(conn); return err == nil && at == want }
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	shows := func(line string) func() bool {
		return func() bool {
			_, text := page(t, client, "http://"+p.log.line("picking")["metrics"].(string)+"/metrics", "")
			return strings.Contains(text, line+"\n")
		}
	}
	p.eventually("it picks", picks("127.0.0.9:1"))
	put(nowhere)
	p.eventually("the new configuration is in force", picks(""))
	put(strings.ReplaceAll(nowhere, "matchLabels", "matchLabel"))
	p.eventually("the broken one is refused", shows("llm_d_epp_config_last_reload_successful 0"))
	line := p.log.line("the changed configuration is refused; the one before goes on")
	if text, _ := line["error"].(string); !strings.Contains(text, "matchLabel") || !strings.Contains(text, file) {
		t.Errorf("the log says %v", line)
	}
	if !picks("")() {
		t.Error("the configuration before is not in force")
	}
	put(string(config.DefaultText()))
	p.eventually("a good one is taken again", picks("127.0.0.9:1"))
	for _, line := range []string{`llm_d_epp_config_last_reload_successful 1`, `llm_d_epp_config_reloads_total{result="success"} 2`,
		`llm_d_epp_config_reloads_total{result="failure"} 1`, `llm_d_epp_config_restart_needed 0`, `llm_d_epp_extproc_streams_inflight 0`} {
		p.eventually(line, shows(line))
	}
	if shows(`llm_d_epp_extproc_streams_total{code="OK"} 0`)() {
		t.Error("streams are not counted")
	}
	put(strings.Replace(string(config.DefaultText()), "- type: metrics-data-source",
		"- {type: file-discovery, parameters: {path: /none}}\n- type: metrics-data-source", 1) + "  discovery: {pluginRef: file-discovery}\n")
	p.eventually("a change of where endpoints come from is told of", shows("llm_d_epp_config_restart_needed 1"))
	if at, err := p.ask(conn); err != nil || at != "127.0.0.9:1" {
		t.Errorf("picked %q, %v", at, err)
	}
	put(strings.Replace(string(config.DefaultText()), "- type: metrics-data-source", "- type: metrics-data-source\n"+
		"  parameters: {scheme: https, caCertPath: /none/ca.pem}", 1))
	p.eventually("certificates that cannot be read are refused", shows(`llm_d_epp_config_last_reload_successful 0`))
}

// run runs a subcommand.
func run(t *testing.T, input string, args ...string) (out, problems string, err error) {
	t.Helper()
	root := New(Options{})
	var stdout, stderr bytes.Buffer
	root.SetArgs(args)
	root.SetIn(strings.NewReader(input))
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	err = root.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}

func TestValidate(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	writeFile(t, good, nowhere)
	writeFile(t, bad, strings.Replace(nowhere, "kind:", "kinds: x\nmore: y\nkind:", 1))
	for _, test := range []struct {
		name, input   string
		args          []string
		out, problems []string
		fails         bool
	}{
		{name: "a good file", args: []string{good}, out: []string{good + ": valid"}},
		{name: "standard input", input: nowhere, args: []string{"-"}, out: []string{"standard input: valid"}},
		{name: "all errors of a file", args: []string{bad}, fails: true,
			problems: []string{bad + `: error: `, `unknown field "kinds"`, bad + `: error: unknown field "more"`}},
		{name: "all files", args: []string{bad, good}, fails: true, out: []string{good + ": valid"}, problems: []string{bad}},
		{name: "a file that is not there", args: []string{filepath.Join(dir, "none")}, fails: true, problems: []string{"none"}},
		{name: "the path of a field", input: strings.Replace(nowhere, "app: nobody", "app: [1]", 1), args: []string{"-"}, fails: true,
			problems: []string{`plugins[0] "label-selector-filter": parameters:`}},
		{name: "a warning", args: []string{"-"}, input: string(config.DefaultText()) + "featureGates: [haPopulateNonLeaderDatastore=false]\n",
			out: []string{"valid"}, problems: []string{"standard input: warning: featureGates[0]"}},
	} {
		out, problems, err := run(t, test.input, append([]string{"validate"}, test.args...)...)
		if (err != nil) != test.fails {
			t.Errorf("%s: error %v", test.name, err)
		}
		for _, want := range test.out {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q lacks %q", test.name, out, want)
			}
		}
		for _, want := range test.problems {
			if !strings.Contains(problems, want) {
				t.Errorf("%s: %q lacks %q", test.name, problems, want)
			}
		}
		if len(test.problems) == 0 && problems != "" {
			t.Errorf("%s: problems %q", test.name, problems)
		}
	}
}

func TestSchemaIsPrinted(t *testing.T) {
	out, _, err := run(t, "", "schema")
	var schema map[string]any
	if err != nil || json.Unmarshal([]byte(out), &schema) != nil || schema["title"] != "EndpointPickerConfig" {
		t.Errorf("%v, %.200s", err, out)
	}
}

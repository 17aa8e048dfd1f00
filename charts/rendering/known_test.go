package rendering

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
)

// property is as much of a values.schema.json as tells of keys.
type property struct {
	Properties map[string]*property `json:"properties"`
	Deprecated bool                 `json:"deprecated"`
}

func readSchema(t *testing.T, chart string) *property {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", chart, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var p property
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

// TestKnownKeys compares the templates that refuse unknown keys with the schemas.
func TestKnownKeys(t *testing.T) {
	for chart, define := range map[string]string{library: "routerlib.known", standalone: "known", gateway: "known"} {
		want := "{{/* Every key there is, after values.schema.json: a test writes this file. */}}\n{{- define \"" + define + "\" -}}\n" +
			keyTree(readSchema(t, chart), 0) + "{{- end -}}\n"
		path := filepath.Join("..", chart, "templates", "_known.tpl")
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s has not the keys of values.schema.json (-update writes it): %v", path, err)
		}
	}
}

func keyTree(p *property, indent int) string {
	var out strings.Builder
	for _, key := range slices.Sorted(maps.Keys(p.Properties)) {
		below := p.Properties[key]
		switch {
		case below.Deprecated:
		case below.Properties == nil:
			out.WriteString(strings.Repeat(" ", indent) + key + ": null\n")
		default:
			out.WriteString(strings.Repeat(" ", indent) + key + ":\n" + keyTree(below, indent+2))
		}
	}
	return out.String()
}

// TestEveryDefaultIsKnown makes sure that no value of a values.yaml is missing from the schema.
func TestEveryDefaultIsKnown(t *testing.T) {
	for _, name := range []string{library, standalone, gateway} {
		c, err := loader.LoadDir(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		values := c.Values
		if name != library {
			checkKeys(t, name, values, readSchema(t, name))
			values, _ = values["router"].(map[string]any)
		}
		checkKeys(t, name+": router", values, readSchema(t, library))
	}
}

func checkKeys(t *testing.T, path string, values map[string]any, p *property) {
	t.Helper()
	for key, value := range values {
		below, ok := p.Properties[key]
		if !ok {
			t.Errorf("%s.%s is not in values.schema.json", path, key)
			continue
		}
		if m, ok := value.(map[string]any); ok && below.Properties != nil {
			checkKeys(t, path+"."+key, m, below)
		}
	}
}

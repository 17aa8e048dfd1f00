package rendering

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

// examplesDir is a link to examples/values: go test remembers a result until a file below this module changes.
const examplesDir = "testdata/values"

// goldens are the files of testdata, each of which begins with the release that it is the rendering of; and one per example.
func goldens(t *testing.T) map[string]release {
	t.Helper()
	out := map[string]release{}
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		if strings.HasPrefix(name, "example-") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		input, _, _ := strings.Cut(string(text), "\n---\n")
		var r release
		if err := yaml.UnmarshalStrict([]byte(input), &r); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out[name] = r
	}
	examples, err := filepath.Glob(examplesDir + "/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(examples) == 0 {
		t.Fatalf("no examples in %s", examplesDir)
	}
	for _, path := range examples {
		out["example-"+strings.TrimSuffix(filepath.Base(path), ".yaml")] = example(t, path)
	}
	return out
}

// rendered are the objects of the golden releases, which several tests look at.
var rendered sync.Map

func renderGolden(t *testing.T, name string, r release) []object {
	t.Helper()
	if objects, ok := rendered.Load(name); ok {
		return objects.([]object)
	}
	objects := r.objects(t)
	rendered.Store(name, objects)
	return objects
}

// example is a release of a file of values; what has to be given beside it is given.
func example(t *testing.T, path string) release {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := release{Chart: standalone}
	if err := yaml.Unmarshal(text, &r.Values); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	servers := map[string]any{"matchLabels": map[string]any{"app": "my-model"}}
	r.Values["router"].(map[string]any)["modelServers"] = servers
	return r
}

// TestGolden compares what the charts make of each release with what they made of it before.
func TestGolden(t *testing.T) {
	wanted := goldens(t)
	for name, r := range wanted {
		t.Run(name, func(t *testing.T) {
			input, err := yaml.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			got := string(input)
			for _, o := range renderGolden(t, name, r) {
				got += "---\n" + o.text + "\n"
			}
			path := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if string(before) != got {
				t.Errorf("%s is rendered differently (-update writes it): %s", path, firstDifference(string(before), got))
			}
		})
	}
	removeStale(t, wanted)
}

// removeStale removes, or tells of, renderings of examples that are gone.
func removeStale(t *testing.T, wanted map[string]release) {
	t.Helper()
	files, err := filepath.Glob("testdata/example-*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if _, ok := wanted[strings.TrimSuffix(filepath.Base(path), ".yaml")]; ok {
			continue
		}
		if !*update {
			t.Errorf("%s: there is no such example", path)
		} else if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func firstDifference(before, after string) string {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "line " + strings.TrimSpace(a[i]) + " is now " + strings.TrimSpace(b[i])
		}
	}
	return "one is longer"
}

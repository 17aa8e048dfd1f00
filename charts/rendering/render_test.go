package rendering

import (
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/strvals"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files and the templates of known keys")

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // Helm tells of every symbolic link
	os.Exit(m.Run())
}

const (
	standalone = "llm-d-router-standalone"
	gateway    = "llm-d-router-gateway"
	library    = "routerlib"

	defaultRelease = "my-release"
	namespace      = "models"
)

// release is what `helm install` is given.
type release struct {
	Chart  string         `json:"chart"`
	Name   string         `json:"name,omitempty"`
	Values map[string]any `json:"values,omitempty"`
}

// charts are read once: each rendering gets a chart of its own, for Helm changes what it renders.
var charts sync.Map

func loadChart(t testing.TB, name string) *chart.Chart {
	t.Helper()
	files, ok := charts.Load(name)
	if !ok {
		c, err := loader.LoadDir(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		var raw []*loader.BufferedFile
		for _, f := range c.Raw {
			raw = append(raw, &loader.BufferedFile{Name: f.Name, Data: f.Data})
		}
		files, _ = charts.LoadOrStore(name, raw)
	}
	c, err := loader.LoadFiles(files.([]*loader.BufferedFile))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render does what `helm template` does, and gives each template's text by its name.
func (r release) render(t testing.TB) (map[string]string, error) {
	t.Helper()
	c := loadChart(t, r.Chart)
	values, err := chartutil.CoalesceValues(&chart.Chart{Metadata: &chart.Metadata{Name: "given"}}, r.Values)
	if err != nil {
		t.Fatal(err)
	}
	if err := chartutil.ProcessDependenciesWithMerge(c, values); err != nil {
		t.Fatal(err)
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = chartutil.KubeVersion{Version: "v1.34.0", Major: "1", Minor: "34"}
	name := r.Name
	if name == "" {
		name = defaultRelease
	}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: name, Namespace: namespace, Revision: 1, IsInstall: true}, capabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// object is one rendered document.
type object struct {
	text string
	unstructured.Unstructured
}

func (o object) id() string { return o.GetKind() + "/" + o.GetName() }

// objects renders and gives all objects, sorted by kind and name. A key given twice is an error.
func (r release) objects(t testing.TB) []object {
	t.Helper()
	files, err := r.render(t)
	if err != nil {
		t.Fatal(err)
	}
	var out []object
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, "NOTES.txt") {
			continue
		}
		for _, text := range strings.Split("\n"+files[name], "\n---") {
			if strings.TrimSpace(text) == "" {
				continue
			}
			o := object{text: strings.TrimSpace(text)}
			if err := yaml.UnmarshalStrict([]byte(text), &o.Object); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, text)
			}
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b object) int { return strings.Compare(a.id(), b.id()) })
	for i := 1; i < len(out); i++ {
		if out[i].id() == out[i-1].id() && out[i].GetAPIVersion() == out[i-1].GetAPIVersion() {
			t.Errorf("%s is rendered twice", out[i].id())
		}
	}
	return out
}

// find gives the object "Kind/name", which has to be there.
func find(t testing.TB, objects []object, id string) object {
	t.Helper()
	for _, o := range objects {
		if o.id() == id {
			return o
		}
	}
	t.Fatalf("no %s; there are %s", id, strings.Join(ids(objects), ", "))
	return object{}
}

func ids(objects []object) []string {
	var out []string
	for _, o := range objects {
		out = append(out, o.id())
	}
	return out
}

// set makes values of lines like those of --set.
func set(t testing.TB, lines ...string) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, line := range lines {
		if err := strvals.ParseInto(line, out); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// of is a release of a chart with values as --set has them.
func of(t testing.TB, chart string, lines ...string) release {
	return release{Chart: chart, Values: set(t, lines...)}
}

const labelled = "router.modelServers.matchLabels.app=my-model"

// dig gives what lies at a path of keys and indices.
func dig(t testing.TB, from any, path ...any) any {
	t.Helper()
	for i, step := range path {
		switch s := step.(type) {
		case string:
			from = from.(map[string]any)[s]
		case int:
			from = from.([]any)[s]
		}
		if from == nil {
			t.Fatalf("nothing at %s", fmt.Sprint(path[:i+1]))
		}
	}
	return from
}

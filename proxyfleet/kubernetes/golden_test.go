package kubernetes

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

var update = flag.Bool("update", false, "rewrite what the golden files expect")

// input is the first document of a golden file; the objects follow.
type input struct {
	Name        string                `json:"name"`
	Labels      map[string]string     `json:"labels,omitempty"`
	Annotations map[string]string     `json:"annotations,omitempty"`
	Address     string                `json:"address,omitempty"`
	Ports       []uint16              `json:"ports,omitempty"`
	Parameters  model.FleetParameters `json:"parameters"`
}

func (in input) gateway(t *testing.T) *model.Gateway {
	t.Helper()
	gw := &model.Gateway{Key: source.Key{Namespace: "team", Name: in.Name}, Fleet: model.Fleet{
		Labels: in.Labels, Annotations: in.Annotations, Parameters: in.Parameters,
	}}
	if in.Address != "" {
		gw.Fleet.Address = netip.MustParseAddr(in.Address)
	}
	for _, p := range in.Ports {
		gw.Ports = append(gw.Ports, model.Port{Number: p})
	}
	return gw
}

var buildOptions = BuildOptions{
	UID: "11111111-2222-3333-4444-555555555555", Image: "registry.example/switchyard:1",
	XDSHost: "switchyard.switchyard-system.svc.cluster.local", XDSPort: 18000,
}

func build(t *testing.T, gw *model.Gateway, opts BuildOptions) []client.Object {
	t.Helper()
	objects, err := Objects(gw, opts)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

const documentSeparator = "---\n"

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			head, _, _ := strings.Cut(string(text), documentSeparator)
			var in input
			if err := yaml.UnmarshalStrict([]byte(head), &in); err != nil {
				t.Fatal(err)
			}
			out := bytes.NewBufferString(head)
			for _, o := range build(t, in.gateway(t), buildOptions) {
				content, err := applied(o)
				if err != nil {
					t.Fatal(err)
				}
				doc, err := yaml.Marshal(content)
				if err != nil {
					t.Fatal(err)
				}
				out.WriteString(documentSeparator)
				out.Write(doc)
			}
			if *update {
				if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got := out.String(); got != string(text) {
				t.Errorf("the objects differ from %s (go test -run TestGolden -update, then look at the diff); got:\n%s", file, got)
			}
		})
	}
}

func deploymentOf(t *testing.T, objects []client.Object) *appsv1.Deployment {
	t.Helper()
	for _, o := range objects {
		if d, ok := o.(*appsv1.Deployment); ok {
			return d
		}
	}
	t.Fatal("there is no Deployment")
	return nil
}

// What makes pods restart, and what does not.
func TestTemplateHash(t *testing.T) {
	base := func() (*model.Gateway, BuildOptions) {
		return input{Name: "gw", Ports: []uint16{80}}.gateway(t), buildOptions
	}
	hash := func(gw *model.Gateway, opts BuildOptions) string {
		return deploymentOf(t, build(t, gw, opts)).Spec.Template.Annotations[templateHash]
	}
	first := hash(base())
	if first == "" {
		t.Fatal("there is no hash")
	}
	for name, c := range map[string]struct {
		change   func(*model.Gateway, *BuildOptions)
		restarts bool
	}{
		"nothing":             {func(*model.Gateway, *BuildOptions) {}, false},
		"the drainer's image": {func(_ *model.Gateway, o *BuildOptions) { o.Image = "registry.example/switchyard:2" }, false},
		"a port":              {func(gw *model.Gateway, _ *BuildOptions) { gw.Ports = append(gw.Ports, model.Port{Number: 443}) }, false},
		"no port":             {func(gw *model.Gateway, _ *BuildOptions) { gw.Ports = nil }, false},
		"replicas":            {func(gw *model.Gateway, _ *BuildOptions) { gw.Fleet.Parameters.Replicas = pointer(int32(7)) }, false},
		"Envoy's image":       {func(_ *model.Gateway, o *BuildOptions) { o.ProxyImage = "envoy:other" }, true},
		"where xDS is":        {func(_ *model.Gateway, o *BuildOptions) { o.XDSPort++ }, true},
		"the drain time":      {func(gw *model.Gateway, _ *BuildOptions) { gw.Fleet.Parameters.DrainSeconds = pointer(int32(7)) }, true},
		"a label of the pods": {func(gw *model.Gateway, _ *BuildOptions) { gw.Fleet.Labels = map[string]string{"a": "b"} }, true},
	} {
		gw, opts := base()
		c.change(gw, &opts)
		if restarts := hash(gw, opts) != first; restarts != c.restarts {
			t.Errorf("%s: restarts %v, want %v", name, restarts, c.restarts)
		}
	}
}

// A Deployment's selector can never be changed: it depends on the Gateway's name alone.
func TestSelectorNeverChanges(t *testing.T) {
	gw := input{Name: "gw", Ports: []uint16{80}, Labels: map[string]string{
		instanceLabel: "theirs", nameLabel: "theirs", managedByLabel: "theirs", model.GatewayNameLabel: "theirs",
	}}.gateway(t)
	d := deploymentOf(t, build(t, gw, buildOptions))
	want := map[string]string{"app.kubernetes.io/name": "switchyard-proxy", "app.kubernetes.io/instance": "switchyard-gw"}
	if len(d.Spec.Selector.MatchLabels) != len(want) {
		t.Errorf("the selector is %v", d.Spec.Selector.MatchLabels)
	}
	for k, v := range want {
		if d.Spec.Selector.MatchLabels[k] != v || d.Spec.Template.Labels[k] != v {
			t.Errorf("%s is %q in the selector and %q on the pods, want %q", k, d.Spec.Selector.MatchLabels[k], d.Spec.Template.Labels[k], v)
		}
	}
	if d.Labels[managedByLabel] != "switchyard" || d.Labels[model.GatewayNameLabel] != "gw" {
		t.Errorf("labels of spec.infrastructure win over ours: %v", d.Labels)
	}
}

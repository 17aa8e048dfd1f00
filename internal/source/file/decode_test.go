package file

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Each testdata/problems/*.yaml holds manifests, and in comments at its end what is said about them.
func TestProblems(t *testing.T) {
	const mark = "# ---- what is said about it ----\n"
	paths, err := filepath.Glob("testdata/problems/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(text), mark)
			u := Decode([]byte(input), "in.yaml")
			var got strings.Builder
			for _, p := range u.Problems {
				got.WriteString("# " + p.Error() + "\n")
			}
			for _, w := range u.Warnings {
				got.WriteString("# warning: " + w.Error() + "\n")
			}
			if *update {
				if err := os.WriteFile(path, []byte(input+mark+got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got.String() != want {
				t.Errorf("got\n%swant\n%s", got.String(), want)
			}
			for _, p := range u.Problems {
				if p.Fix == "" || p.File == "" || p.Document == 0 || p.Line == 0 {
					t.Errorf("incomplete problem: %+v", p)
				}
			}
		})
	}
}

func decodeGood(t *testing.T, text string) *source.Objects {
	t.Helper()
	u := Decode([]byte(text), "in.yaml")
	for _, p := range slices.Concat(u.Problems, u.Warnings) {
		t.Fatalf("unexpected: %s", p.Error())
	}
	return u.Objects
}

func TestHTTPRouteDefaults(t *testing.T) {
	o := decodeGood(t, `
apiVersion: gateway.networking.k8s.io/v1beta1
kind: HTTPRoute
metadata:
  name: r
  generation: 7
  creationTimestamp: "2024-05-06T07:08:09Z"
spec:
  parentRefs: [{name: gw}]
  rules:
  - backendRefs: [{name: b, port: 80}]
status:
  parents: []
`)
	r, ok := o.HTTPRoutes.Get("default", "r")
	if !ok {
		t.Fatal("no route default/r")
	}
	if r.APIVersion != "gateway.networking.k8s.io/v1" || r.Kind != "HTTPRoute" || r.Generation != 1 {
		t.Errorf("stored as %s %s generation %d", r.APIVersion, r.Kind, r.Generation)
	}
	if want := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC); !r.CreationTimestamp.Time.Equal(want) {
		t.Errorf("created %v, want %v", r.CreationTimestamp, want)
	}
	if r.Status.Parents != nil {
		t.Errorf("status was kept: %v", r.Status)
	}
	p := r.Spec.ParentRefs[0]
	if p.Group == nil || *p.Group != gwv1.GroupName || p.Kind == nil || *p.Kind != "Gateway" {
		t.Errorf("parentRef is %+v", p)
	}
	m := r.Spec.Rules[0].Matches
	if len(m) != 1 || m[0].Path == nil || *m[0].Path.Type != gwv1.PathMatchPathPrefix || *m[0].Path.Value != "/" {
		t.Errorf("matches are %+v", m)
	}
	b := r.Spec.Rules[0].BackendRefs[0]
	if *b.Group != "" || *b.Kind != "Service" || *b.Weight != 1 {
		t.Errorf("backendRef is %+v", b)
	}
}

func TestOtherDefaults(t *testing.T) {
	o, err := Load("testdata/quickstart")
	if err != nil || len(o.Problems)+len(o.Warnings) > 0 {
		t.Fatalf("%v %v %v", err, o.Problems, o.Warnings)
	}
	objects := o.Objects
	pool, _ := objects.InferencePools.Get("inference", "llama")
	if e := pool.Spec.EndpointPickerRef; e.FailureMode != "FailClose" || e.Kind != "Service" {
		t.Errorf("endpointPickerRef is %+v", e)
	}
	if got := len(objects.PoolEndpoints(pool)); got != 8 {
		t.Errorf("the pool has %d endpoints, want 8: the pods' status counts", got)
	}
	s, _ := objects.Services.Get("inference", "web")
	if p := s.Spec.Ports[0]; p.Protocol != corev1.ProtocolTCP || p.TargetPort.IntVal != 80 {
		t.Errorf("service port is %+v", p)
	}
	e, _ := objects.EndpointSlices.Get("inference", "web-1")
	if p := e.Ports[0]; p.Protocol == nil || *p.Protocol != corev1.ProtocolTCP || p.Name == nil || *p.Name != "" {
		t.Errorf("endpoint port is %+v", p)
	}
	secret, _ := objects.Secrets.Get("inference", "edge-cert")
	if string(secret.Data["tls.key"]) != "key" || secret.StringData != nil {
		t.Errorf("secret is %v %v", secret.Data, secret.StringData)
	}
	n, _ := objects.Namespaces.Get("", "inference")
	if n.Labels["kubernetes.io/metadata.name"] != "inference" {
		t.Errorf("namespace labels are %v", n.Labels)
	}
	if _, ok := objects.ReferenceGrants.Get("inference", "grant"); !ok {
		t.Error("the v1beta1 ReferenceGrant is not there")
	}
	c, _ := objects.GatewayClasses.Get("", "switchyard")
	if c == nil || !c.CreationTimestamp.IsZero() {
		t.Errorf("gateway class is %v; without a time in the manifest there is none", c)
	}
}

func TestStringDataWinsOverData(t *testing.T) {
	o := decodeGood(t, `
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: ns}
data: {a: b2xk, b: a2VwdA==}
stringData: {a: new}
`)
	s, _ := o.Secrets.Get("ns", "s")
	if string(s.Data["a"]) != "new" || string(s.Data["b"]) != "kept" || s.Type != corev1.SecretTypeOpaque {
		t.Errorf("secret is %v %q", s.Type, s.Data)
	}
}

func TestListsAreUnrolled(t *testing.T) {
	const text = `
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: a}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: b}
  dat: {}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClassList
items:
- metadata: {name: c}
  spec: {controllerName: example.com/c}
---
apiVersion: v1
kind: List
items: []
`
	u := Decode([]byte(text), "in.yaml")
	if u.Objects.ConfigMaps.Len() != 1 || u.Objects.GatewayClasses.Len() != 1 {
		t.Errorf("%d config maps, %d classes; want one of each", u.Objects.ConfigMaps.Len(), u.Objects.GatewayClasses.Len())
	}
	if len(u.Problems) != 1 {
		t.Fatalf("problems are %v", u.Problems)
	}
	want := source.Problem{
		File: "in.yaml", Document: 1, Line: 11, Object: source.Ref{Kind: "ConfigMap", Namespace: "default", Name: "b"},
		Field: "dat", Message: `unknown field "dat"`, Fix: `did you mean "data"?`,
	}
	if u.Problems[0] != want {
		t.Errorf("got  %+v\nwant %+v", u.Problems[0], want)
	}
}

func TestJSONManifests(t *testing.T) {
	u := Decode([]byte("{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"a\"}}\n"+
		"{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\",\n \"metadata\": {\"name\": \"b\"},\n\t\"data\": {\"k\": 1}}\n{\"x\": \n"), "in.json")
	if u.Objects.ConfigMaps.Len() != 1 || len(u.Problems) != 2 {
		t.Fatalf("%d objects, problems %v", u.Objects.ConfigMaps.Len(), u.Problems)
	}
	if p := u.Problems[0]; p.Document != 2 || p.Field != "data[k]" || p.Object.Name != "b" {
		t.Errorf("got %+v", p)
	}
	if p := u.Problems[1]; p.Document != 3 || p.Line != 6 {
		t.Errorf("got %+v", p)
	}
}

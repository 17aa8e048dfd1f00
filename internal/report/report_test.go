package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	yaml "sigs.k8s.io/yaml/goyaml.v3"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/file"
	"github.com/switchyard/switchyard/translate"
	"github.com/switchyard/switchyard/translate/gatewayapi"
	"github.com/switchyard/switchyard/translate/resource"
)

func loadQuickstart(t *testing.T) (source.Update, *translate.Output) {
	t.Helper()
	update, err := file.Load("../../examples/quickstart")
	if err != nil {
		t.Fatal(err)
	}
	out, err := translate.Compile(update.Objects, translate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return update, out
}

func TestTranslationNamesObjectsBesideResources(t *testing.T) {
	update, out := loadQuickstart(t)
	var text bytes.Buffer
	if err := Translation(&text, JSON, update, out); err != nil {
		t.Fatal(err)
	}
	var doc Document
	if err := json.Unmarshal(text.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Views) != 1 || doc.Views[0].Gateway != "default/inference" {
		t.Fatalf("views %+v", doc.Views)
	}
	want := map[string]string{
		"Listener http/8080":                      "Gateway/default/inference",
		"RouteConfiguration http/8080":            "HTTPRoute/default/chat",
		"Cluster pool/default/qwen":               "InferencePool/default/qwen",
		"ClusterLoadAssignment pool/default/qwen": "InferencePool/default/qwen",
	}
	for _, r := range doc.Views[0].Resources {
		name := r.Type + " " + r.Name
		if from := strings.Join(r.From, ","); want[name] != "" && from != want[name] {
			t.Errorf("%s comes from %s, want %s", name, from, want[name])
		}
		delete(want, name)
		if r.Version != out.Views["default/inference"].Of(typeURL(r.Type))[r.Name].Version {
			t.Errorf("%s: version %s", name, r.Version)
		}
	}
	if len(want) > 0 {
		t.Errorf("not printed: %v", want)
	}
}

func typeURL(short string) string {
	for _, t := range typeOrder {
		if shortType(t) == short {
			return t
		}
	}
	return ""
}

func TestYAMLSaysTheSameAsJSON(t *testing.T) {
	update, out := loadQuickstart(t)
	var fromJSON, fromYAML any
	for format, into := range map[Format]*any{JSON: &fromJSON, YAML: &fromYAML} {
		var text bytes.Buffer
		if err := Translation(&text, format, update, out); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text.Bytes(), into); err != nil { // JSON is YAML
			t.Fatal(err)
		}
	}
	a, _ := json.Marshal(fromJSON)
	b, _ := json.Marshal(fromYAML)
	if !bytes.Equal(a, b) || len(a) < 1000 {
		t.Errorf("%d bytes of JSON and %d bytes of YAML differ", len(a), len(b))
	}
	if err := Translation(&bytes.Buffer{}, "xml", update, out); err == nil {
		t.Error("an unknown format is accepted")
	}
}

func TestPrivateKeysAreNotPrinted(t *testing.T) {
	secret := &tlsv3.Secret{Name: "ns/cert", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		PrivateKey: &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: []byte("hush")}},
	}}}
	r, err := resource.New(resource.ID{Type: resource.SecretType, Name: "ns/cert"}, secret, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := resourceDocument(r)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(doc.Config); strings.Contains(text, "aHVzaA") || !strings.Contains(text, "redacted") {
		t.Errorf("printed: %s", text)
	}
}

func TestTreeOfTheQuickstart(t *testing.T) {
	update, out := loadQuickstart(t)
	var text bytes.Buffer
	healthy, err := Tree(&text, update.Objects, out.Statuses)
	if err != nil || !healthy {
		t.Errorf("healthy %t, error %v", healthy, err)
	}
	want := `GatewayClass switchyard  [Accepted ✓]
└─ Gateway default/inference  [Accepted ✓  Programmed ✓  ResolvedRefs ✓]
   ├─ listener http, HTTP port 8080, 1 routes  [Accepted ✓  Conflicted ✓  Programmed ✓  ResolvedRefs ✓]
   └─ HTTPRoute default/chat  [Accepted ✓  ResolvedRefs ✓]
      └─ InferencePool default/qwen, 4 endpoints ready  [Accepted ✓  ResolvedRefs ✓]
`
	if text.String() != want {
		t.Errorf("tree:\n%s", &text)
	}
}

func TestTreeSpellsOutWhatIsWrong(t *testing.T) {
	update, _ := loadQuickstart(t)
	objects := *update.Objects
	objects.InferencePools = objects.InferencePools.Without(source.Key{Namespace: "default", Name: "qwen"})
	var text bytes.Buffer
	healthy, err := Tree(&text, &objects, gatewayapi.Build(&objects, gatewayapi.Options{}).Statuses)
	if err != nil || healthy {
		t.Errorf("healthy %t, error %v", healthy, err)
	}
	for _, want := range []string{"ResolvedRefs ✗", "! ResolvedRefs=False BackendNotFound:", "InferencePool default/qwen, missing"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the tree does not say %q:\n%s", want, &text)
		}
	}
}

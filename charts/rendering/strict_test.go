package rendering

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"google.golang.org/protobuf/encoding/protojson"
	istiov1 "istio.io/api/networking/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
	// The modules whose CRDs are looked at.
	_ "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	_ "sigs.k8s.io/gateway-api/apis/v1"
)

// crd is what an API server checks objects of a kind with.
type crd struct {
	structural *structuralschema.Structural
	validator  validation.SchemaValidator
}

// TestStrict decodes every object of every golden file as an API server would that refuses unknown fields.
func TestStrict(t *testing.T) {
	known := knownCRDs(t)
	scheme := runtime.NewScheme()
	if err := monitoringv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for name, r := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			for _, o := range renderGolden(t, name, r) {
				kinds[o.GetKind()] = true
				if err := decode(o, known, scheme); len(err) > 0 {
					t.Errorf("%s: %s", o.id(), strings.Join(err, "; "))
				}
			}
		})
	}
	for _, kind := range strings.Fields("Deployment StatefulSet InferencePool InferenceObjective HTTPRoute GatewayClass ServiceMonitor PodMonitor " +
		"PodMonitoring DestinationRule HealthCheckPolicy GCPBackendPolicy PodDisruptionBudget HorizontalPodAutoscaler NetworkPolicy") {
		if !kinds[kind] {
			t.Errorf("no golden file has a %s", kind)
		}
	}
}

// TestStrictRefuses makes sure that each way of decoding refuses a field that there is not.
func TestStrictRefuses(t *testing.T) {
	known := knownCRDs(t)
	scheme := runtime.NewScheme()
	if err := monitoringv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	refused := map[string]bool{}
	for name, r := range goldens(t) {
		for _, o := range renderGolden(t, name, r) {
			if _, ok := o.Object["spec"].(map[string]any); !ok || refused[o.GetKind()] {
				continue
			}
			broken := object{Unstructured: *o.DeepCopy()}
			if err := unstructured.SetNestedField(broken.Object, "x", "spec", "wrongField"); err != nil {
				t.Fatal(err)
			}
			if refused[o.GetKind()] = true; len(decode(broken, known, scheme)) == 0 {
				t.Errorf("%s with spec.wrongField is accepted", o.GetKind())
			}
		}
	}
}

func decode(o object, known map[schema.GroupVersionKind]crd, monitoring *runtime.Scheme) []string {
	gvk := o.GroupVersionKind()
	text, err := o.MarshalJSON()
	if err != nil {
		return []string{err.Error()}
	}
	switch {
	case scheme.Scheme.Recognizes(gvk):
		return strictly(scheme.Scheme, text)
	case monitoring.Recognizes(gvk):
		return strictly(monitoring, text)
	case gvk.Kind == "DestinationRule":
		spec, err := json.Marshal(o.Object["spec"])
		if err == nil {
			err = protojson.Unmarshal(spec, &istiov1.DestinationRule{})
		}
		if err != nil {
			return []string{err.Error()}
		}
		return nil
	}
	c, ok := known[gvk]
	if !ok {
		return []string{"nobody knows " + gvk.String()}
	}
	var out []string
	for _, problem := range validation.ValidateCustomResource(nil, o.Object, c.validator) {
		out = append(out, problem.Error())
	}
	unknown := pruning.PruneWithOptions(o.DeepCopy().Object, c.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range unknown {
		out = append(out, "unknown field "+path)
	}
	return out
}

func strictly(s *runtime.Scheme, text []byte) []string {
	if _, _, err := serializer.NewCodecFactory(s, serializer.EnableStrict).UniversalDeserializer().Decode(text, nil, nil); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// knownCRDs are those of the modules that this one depends on, of the charts, and, of vendors that publish none as a module, those
// of testdata/crds, which have the fields alone that are used here.
func knownCRDs(t *testing.T) map[schema.GroupVersionKind]crd {
	t.Helper()
	out := map[schema.GroupVersionKind]crd{}
	for _, pattern := range []string{
		moduleDir(t, "sigs.k8s.io/gateway-api") + "/config/crd/standard/gateway.*.yaml",
		moduleDir(t, "sigs.k8s.io/gateway-api-inference-extension") + "/config/crd/bases/*.yaml",
		"../" + gateway + "/crds/*.yaml", "testdata/crds/*.yaml",
	} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, path := range files {
			readCRD(t, path, out)
		}
	}
	return out
}

func moduleDir(t *testing.T, path string) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		t.Fatalf("finding the module %s: %v", path, err)
	}
	return strings.TrimSpace(string(dir))
}

func readCRD(t *testing.T, path string, out map[schema.GroupVersionKind]crd) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &definition); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if definition.Kind != "CustomResourceDefinition" {
		return
	}
	for _, version := range definition.Spec.Versions {
		var internal apiextensions.JSONSchemaProps
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, &internal, nil); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		structural, err := structuralschema.NewStructural(&internal)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		validator, _, err := validation.NewSchemaValidator(&internal)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out[schema.GroupVersionKind{Group: definition.Spec.Group, Version: version.Name, Kind: definition.Spec.Names.Kind}] = crd{structural, validator}
	}
}

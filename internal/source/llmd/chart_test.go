package llmd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"sigs.k8s.io/yaml"
)

const chart = "../../../charts/llm-d-router-gateway"

// namespacedRules are the rights that the chart gives in a namespace that is served.
func namespacedRules(t *testing.T) []rbacv1.PolicyRule {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chart, "templates/_rules.tpl"))
	if err != nil {
		t.Fatal(err)
	}
	_, text2, found := strings.Cut(string(text), `{{- define "router.rules.namespaced" -}}`)
	body, _, ended := strings.Cut(text2, "{{- end -}}")
	var rules []rbacv1.PolicyRule
	if err := yaml.UnmarshalStrict([]byte(body), &rules); err != nil || !found || !ended || len(rules) < 5 {
		t.Fatalf("the rules are not to be read: %v, %d of them", err, len(rules))
	}
	return rules
}

// TestRightsToObjectivesAndRewrites looks for all verbs that the chart grants on each resource of both groups.
func TestRightsToObjectivesAndRewrites(t *testing.T) {
	rules := namespacedRules(t)
	for _, group := range []string{Group, OlderGroup} {
		granted := map[string][]string{}
		for _, rule := range rules {
			if !slices.Contains(rule.APIGroups, group) {
				continue
			}
			for _, resource := range rule.Resources {
				granted[resource] = append(granted[resource], rule.Verbs...)
			}
		}
		for resource, want := range map[string]string{
			"inferenceobjectives": "get list watch", "inferenceobjectives/status": "update patch",
			"inferencemodelrewrites": "get list watch", "inferencemodelrewrites/status": "update patch",
		} {
			if got := strings.Join(granted[resource], " "); got != want {
				t.Errorf("%s of %s: the chart grants %q, want %q", resource, group, got, want)
			}
			delete(granted, resource)
		}
		if len(granted) > 0 {
			t.Errorf("the chart grants more in %s: %v", group, granted)
		}
	}
}

// TestChartCRDsAreValid asks what an API server asks of a schema and its defaults before it takes a CRD.
func TestChartCRDsAreValid(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(chart, "crds/*.yaml"))
	if err != nil || len(paths) != 2 {
		t.Fatalf("CRDs are %v, %v", paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(text, &crd); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, v := range crd.Spec.Versions {
			var props apiextensions.JSONSchemaProps
			if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, &props, nil); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			schema, err := structural.NewStructural(&props)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			for _, e := range structural.ValidateStructural(nil, schema) {
				t.Errorf("%s: %v", path, e)
			}
			wrong, err := defaulting.ValidateDefaults(t.Context(), nil, schema, true, true)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			for _, e := range wrong {
				t.Errorf("%s: %v", path, e)
			}
			if v.Subresources == nil || v.Subresources.Status == nil {
				t.Errorf("%s: the status is no resource of its own, so that no status could be written", path)
			}
		}
		if filepath.Base(path) != crd.Spec.Group+"_"+crd.Spec.Names.Plural+".yaml" || crd.Spec.Group != Group || crd.Spec.Versions[0].Name != Version {
			t.Errorf("%s holds %s %s", path, crd.Name, crd.Spec.Versions[0].Name)
		}
	}
}

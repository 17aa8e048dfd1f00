package file

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Whatever a file holds: no panic, and each object is either there or somebody is told why not.
func FuzzDecode(f *testing.F) {
	for _, path := range []string{"testdata/quickstart/all.yaml", "testdata/problems/problems.yaml"} {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, c := range splitDocuments(path, text) {
			f.Add(c.text, false)
		}
	}
	f.Add([]byte(`{"kind": "List", "apiVersion": "v1", "items": [1, {}, {"kind": "Pod"}]}`), true)
	f.Add([]byte("kind: PodList\napiVersion: v1\nitems: [&a {metadata: {name: x}}, *a]\n---\n--- x\n...\n"), false)
	f.Add([]byte("metadata: []\nkind: Gateway\napiVersion: gateway.networking.k8s.io/v1\nspec: 3\n"), false)
	f.Fuzz(func(t *testing.T, text []byte, asJSON bool) {
		name := "in.yaml"
		if asJSON {
			name = "in.json"
		}
		u := Decode(text, name)
		for _, p := range u.Problems {
			if p.File != name || p.Message == "" || p.Document < 1 || p.Line < 1 {
				t.Errorf("incomplete problem: %+v", p)
			}
		}
		again := Decode(text, name)
		if !reflect.DeepEqual(u, again) {
			t.Error("a second reading gave something else")
		}
	})
}

// A document means what it means to kubectl.
func FuzzYAMLValues(f *testing.F) {
	for _, text := range []string{
		"a: yes\nb: [n, y, on, 0644, 1e3, 1.0, .5, 2024-01-02, ~, '1']", "{1: a, true: b, x: 12345678901234567890}",
		"a: &x {b: 1}\nc: {<<: *x}", "- |\n  text\n- >-\n  folded", "a: !!str 1", "? a\n: b", "-0.0", "1e300", "0b11", "1_000", "100000000000000100.0", "9223372036854775807.0", "-9223372036854775808.0",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		chunks := splitDocuments("in.yaml", text)
		if len(chunks) != 1 || len(chunks[0].text) != len(text) {
			return // several documents, or the other parser would see other text
		}
		got, _, err := parseYAML(text)
		if err != nil {
			return
		}
		encoded, err := yaml.YAMLToJSON(text)
		if err != nil {
			return
		}
		var want any
		if err := kjson.UnmarshalCaseSensitivePreserveInts(encoded, &want); err != nil {
			return
		}
		if !reflect.DeepEqual(got, want) {
			gotText, _ := json.Marshal(got)
			t.Errorf("got %s, kubectl sees %s", gotText, encoded)
		}
	})
}

package file

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func upstreamDir(t *testing.T, module, sub string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatalf("find module %s: %v", module, err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), sub)
}

func eachManifest(t *testing.T, dir string, visit func(path string, text []byte)) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !manifestName(path) {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n++
		visit(path, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Fatalf("no manifests under %s", dir)
	}
}

// The upstream examples are good: nothing may be said against one.
func TestUpstreamExamplesAreAccepted(t *testing.T) {
	eachManifest(t, upstreamDir(t, "sigs.k8s.io/gateway-api", "examples/standard"), func(path string, text []byte) {
		for _, p := range Decode(text, filepath.Base(path)).Problems {
			t.Errorf("%s: %s", path, p.Error())
		}
	})
}

// The upstream collection of invalid objects is invalid here, too: what an API server refuses is refused.
func TestUpstreamInvalidExamplesAreRefused(t *testing.T) {
	dir := upstreamDir(t, "sigs.k8s.io/gateway-api", "hack/invalid-examples/standard")
	eachManifest(t, dir, func(path string, text []byte) {
		for i, c := range splitDocuments(path, text) {
			var head struct{ APIVersion, Kind string }
			if err := yaml.Unmarshal(c.text, &head); err != nil {
				continue
			}
			if k, _ := findKind(head.APIVersion, head.Kind); k == nil {
				continue
			}
			if u := Decode(c.text, filepath.Base(path)); len(u.Problems) == 0 {
				t.Errorf("%s document %d: nothing was found wrong with it", path, i+1)
			}
		}
	})
}

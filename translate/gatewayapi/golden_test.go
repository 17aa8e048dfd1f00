package gatewayapi

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/internal/source"
)

var update = flag.Bool("update", false, "rewrite the expected part of testdata/*.golden, and delete files without input")

// separator stands between the manifests of a golden file and what is expected of them.
const separator = "\n=== expected\n"

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 25 {
		t.Fatalf("only %d golden files found", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".golden"), func(t *testing.T) { checkGolden(t, file) })
	}
}

// splitGolden gives the manifests, with a line break at their end, and what is expected.
func splitGolden(text string) (input, want string) {
	input, want, _ = strings.Cut("\n"+text, separator)
	return strings.Trim(input, "\n") + "\n", want
}

// optionsOf reads the options of a golden file, those of file mode unless its manifests begin with the comment
// onCluster.
func optionsOf(input string) Options {
	if !strings.HasPrefix(input, onCluster+"\n") {
		return Options{}
	}
	return Options{
		Fleets: true,
		Picker: ServicePort{Service: source.Key{Namespace: "switchyard-system", Name: "switchyard"}, Port: 9002},
	}
}

// onCluster marks a golden file that is translated as on a cluster.
const onCluster = "# on a cluster"

func checkGolden(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	input, want := splitGolden(string(text))
	if strings.TrimSpace(input) == "" {
		if !*update {
			t.Fatal("the file has no input; delete it, or run with -update")
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		return
	}
	l, err := load(input)
	if err != nil {
		t.Fatal(err)
	}
	got := render(Build(l.objects(), optionsOf(input)))
	if *update {
		if err := os.WriteFile(file, []byte(input+separator[1:]+got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("the result differs from what is expected (run with -update to accept it):\n%s", firstDifference(want, got))
	}
}

// firstDifference shows the first line that differs, with the lines before it.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i < len(w) && i < len(g) && w[i] == g[i] {
			continue
		}
		var b strings.Builder
		for _, line := range w[max(0, i-4):min(i, len(w))] {
			b.WriteString("  " + line + "\n")
		}
		for _, line := range w[min(i, len(w)):min(i+3, len(w))] {
			b.WriteString("- " + line + "\n")
		}
		for _, line := range g[min(i, len(g)):min(i+3, len(g))] {
			b.WriteString("+ " + line + "\n")
		}
		return b.String()
	}
	return "no difference"
}

package sim

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	seriesLine = regexp.MustCompile(`^([a-zA-Z_:0-9]+)\{(.*)\} `)
	labelName  = regexp.MustCompile(`([a-zA-Z_0-9]+)="`)
)

// shape is what a metrics page tells besides numbers: HELP and TYPE lines, and the sorted label names of each series.
func shape(page string) (heads map[string]bool, labels map[string][]string) {
	heads, labels = map[string]bool{}, map[string][]string{}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "#") {
			heads[strings.TrimSpace(line)] = true
		} else if m := seriesLine.FindStringSubmatch(line); m != nil {
			names := map[string]bool{}
			for _, name := range labelName.FindAllStringSubmatch(m[2], -1) {
				names[name[1]] = true
			}
			labels[m[1]] = slices.Sorted(maps.Keys(names))
		}
	}
	return heads, labels
}

// TestThePageIsThatOfVLLM compares with a page of a real one, which has more on it and was recorded without its buckets.
func TestThePageIsThatOfVLLM(t *testing.T) {
	real, err := os.ReadFile("../../epp/datalayer/testdata/vllm-0.32.0.txt")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Model: "tiny", LoRA: []string{"sql"}, MaxLoRA: 1})
	heads, labels := shape(string(s.appendMetrics(nil)))
	realHeads, realLabels := shape(string(real))
	for head := range heads {
		if !realHeads[head] {
			t.Errorf("vLLM has no line %s", head)
		}
	}
	compared := 0
	for name, names := range labels {
		if strings.HasSuffix(name, "_bucket") {
			continue
		}
		compared++
		want := realLabels[name]
		if name == "vllm:cache_config_info" { // vLLM tells more
			for _, label := range names {
				if !slices.Contains(want, label) {
					t.Errorf("%s has no label %s", name, label)
				}
			}
		} else if !slices.Equal(names, want) {
			t.Errorf("%s has labels %q, want %q", name, names, want)
		}
	}
	if compared < 20 || len(heads) < 40 {
		t.Errorf("compared %d series and %d lines", compared, len(heads))
	}
}

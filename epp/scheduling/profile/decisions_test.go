package profile_test

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/scheduling/profile"
)

func TestDecisionsAreShown(t *testing.T) {
	d := profile.NewDecisions("split", "disagg-profile-handler")
	d.Inc("m", profile.DecodeOnly)
	d.Inc("m", profile.EncodePrefillDecode)
	d.Inc("m", profile.EncodePrefillDecode)
	d.Inc("", profile.PrefillDecode)
	want := map[string]float64{}
	for _, name := range []string{"disagg", "pd"} {
		of := "llm_d_epp_" + name + "_decision_total plugin_name=split plugin_type=disagg-profile-handler"
		old := "llm_d_inference_scheduler_" + name + "_decision_total"
		for labels, n := range map[string]float64{"decode-only m": 1, "encode-prefill-decode m": 2, "prefill-decode unknown": 1} {
			decision, model, _ := strings.Cut(labels, " ")
			want[strings.Replace(of, " ", " decision_type="+decision+" model_name="+model+" ", 1)] = n
			want[old+" decision_type="+decision+" model_name="+model] = n
		}
	}
	if got := gathered(t, append(d.Collectors(), d.LegacyCollectors()...)...); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// gathered is what collectors show, by names and labels.
func gathered(t *testing.T, collectors ...prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collectors...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]float64{}
	for _, family := range families {
		for _, series := range family.GetMetric() {
			name := family.GetName()
			for _, label := range series.GetLabel() {
				name += " " + label.GetName() + "=" + label.GetValue()
			}
			shown[name] = series.GetCounter().GetValue()
		}
	}
	return shown
}

// TestDecisionsAreBounded counts for more models than are told apart, some with names that no label may have, from many sides
// at once.
func TestDecisionsAreBounded(t *testing.T) {
	d := profile.NewDecisions("n", "t")
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i := range 1500 {
				d.Inc(fmt.Sprintf("model-%d", i), profile.DecodeOnly)
			}
			d.Inc("bad\xff", profile.PrefillDecode)
			d.Inc(strings.Repeat("x", 1024), profile.PrefillDecode)
		})
	}
	group.Wait()
	total := 0.0
	shown := gathered(t, d.Collectors()[0])
	for _, n := range shown {
		total += n
	}
	if len(shown) != 1000+2 || total != 4*1502 {
		t.Errorf("%d series with a sum of %g, want 1002 (one for both kinds of others) with %d", len(shown), total, 4*1502)
	}
	if d.Count("other", profile.DecodeOnly) != 4*500 || d.Count("other", profile.PrefillDecode) != 8 {
		t.Errorf("others: %d and %d", d.Count("other", profile.DecodeOnly), d.Count("other", profile.PrefillDecode))
	}
}

func TestOddModelNamesAreCountedOnce(t *testing.T) {
	d := profile.NewDecisions("n", "t")
	for range 3 {
		d.Inc("bad\xff", profile.DecodeOnly)
		d.Inc(strings.Repeat("x", 300), profile.DecodeOnly)
		d.Inc("", profile.DecodeOnly)
	}
	if d.Count("bad?", profile.DecodeOnly) != 3 || d.Count(strings.Repeat("x", 256), profile.DecodeOnly) != 3 || d.Count("unknown", profile.DecodeOnly) != 3 {
		t.Error("a name that had to be changed is not counted under the name that it got")
	}
	if n := len(gathered(t, d.Collectors()[0])); n != 3 {
		t.Errorf("%d series, want 3", n)
	}
}

package picker_test

import (
	"math"
	"slices"
	"testing"

	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/picker"
)

const draws = 30_000

// shares picks many times among idle candidates and returns how often each came first.
func shares(t *testing.T, p scheduling.Picker, scores ...float32) []float64 {
	t.Helper()
	return sharesOf(t, p, idle(len(scores)), scores...)
}

func idle(candidates int) *scheduling.Cycle {
	return &scheduling.Cycle{Loads: make([]scheduling.Load, candidates)}
}

func sharesOf(t *testing.T, p scheduling.Picker, c *scheduling.Cycle, scores ...float32) []float64 {
	t.Helper()
	counts := make([]float64, len(scores))
	for range draws {
		in := make([]int, len(scores))
		for i := range in {
			in[i] = i
		}
		picked := p.Pick(c, in, slices.Clone(scores))
		if len(picked) != 1 {
			t.Fatalf("picked %d candidates, want 1", len(picked))
		}
		counts[picked[0]] += 1.0 / draws
	}
	return counts
}

func expectShares(t *testing.T, got, want []float64) {
	t.Helper()
	for i := range want {
		// Six standard deviations of a share of 1/2.
		if math.Abs(got[i]-want[i]) > 6*0.5/math.Sqrt(draws) {
			t.Fatalf("shares %.3f, want %.3f", got, want)
		}
	}
}

func TestMaxScoreTakesTheBest(t *testing.T) {
	p, _ := picker.NewMaxScore(nil)
	expectShares(t, shares(t, p, 1, 5, 4.999), []float64{0, 1, 0})
}

func TestMaxScoreIsFairAmongEquals(t *testing.T) {
	p, _ := picker.NewMaxScore(nil)
	expectShares(t, shares(t, p, 3, 1, 3, 2, 3), []float64{1.0 / 3, 0, 1.0 / 3, 0, 1.0 / 3})
}

func TestMaxScoreSpreadsABurstAmongEquals(t *testing.T) {
	p, _ := picker.NewMaxScore(nil)
	c := idle(4)
	c.Loads[0].Requests, c.Loads[2].Requests = 1, 2
	expectShares(t, sharesOf(t, p, c, 3, 3, 3, 3), []float64{0, 0.5, 0, 0.5})
	expectShares(t, sharesOf(t, p, c, 3, 2, 3, 2), []float64{1, 0, 0, 0})
}

func TestMaxScoreOrdersSeveral(t *testing.T) {
	p, err := picker.NewMaxScore([]byte(`{"maxNumOfEndpoints":3}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Pick(idle(11), []int{7, 8, 9, 10}, []float32{1, 4, 3, 2}); !slices.Equal(got, []int{8, 9, 10}) {
		t.Fatalf("picked %v, want [8 9 10]", got)
	}
	if got := p.Pick(idle(11), []int{7}, []float32{1}); !slices.Equal(got, []int{7}) {
		t.Fatalf("picked %v, want [7]", got)
	}
}

func TestRandomIsUniform(t *testing.T) {
	p, _ := picker.NewRandom(nil)
	expectShares(t, shares(t, p, 9, 0, 1), []float64{1.0 / 3, 1.0 / 3, 1.0 / 3})
}

func TestWeightedRandomFollowsScores(t *testing.T) {
	p, _ := picker.NewWeightedRandom(nil)
	expectShares(t, shares(t, p, 1, 3, 0), []float64{0.25, 0.75, 0})
	expectShares(t, shares(t, p, 0, 0), []float64{0.5, 0.5})
}

func TestCountIsChecked(t *testing.T) {
	for _, bad := range []string{`{"maxNumOfEndpoints":0}`, `{"maxNumOfEndpoints":65}`, `{"max":1}`} {
		if _, err := picker.NewMaxScore([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestEveryPickerGivesAsManyAsAsked(t *testing.T) {
	for name, build := range map[string]func([]byte) (scheduling.Picker, error){
		"max score":       func(raw []byte) (scheduling.Picker, error) { return picker.NewMaxScore(raw) },
		"random":          func(raw []byte) (scheduling.Picker, error) { return picker.NewRandom(raw) },
		"weighted random": func(raw []byte) (scheduling.Picker, error) { return picker.NewWeightedRandom(raw) },
	} {
		p, err := build([]byte(`{"maxNumOfEndpoints":3}`))
		if err != nil {
			t.Fatal(err)
		}
		for candidates, want := range map[int]int{1: 1, 2: 2, 3: 3, 7: 3} {
			in, scores := make([]int, candidates), make([]float32, candidates)
			for i := range in {
				in[i], scores[i] = 10+i, float32(i)
			}
			got := slices.Sorted(slices.Values(p.Pick(idle(20), in, scores)))
			if len(got) != want || len(slices.Compact(got)) != want || got[0] < 10 || got[len(got)-1] >= 10+candidates {
				t.Errorf("%s of %d: picked %v, want %d of them, each once", name, candidates, got, want)
			}
		}
		for _, bad := range []string{`{"maxNumOfEndpoints":0}`, `{"maxNumOfEndpoints":65}`, `{"maxNumOfEndpoint":1}`} {
			if _, err := build([]byte(bad)); err == nil {
				t.Errorf("%s: %s was accepted", name, bad)
			}
		}
	}
}

func TestWeightedRandomDrawsWithoutReplacement(t *testing.T) {
	p, _ := picker.NewWeightedRandom([]byte(`{"maxNumOfEndpoints":2}`))
	second := 0
	for range draws {
		picked := p.Pick(idle(3), []int{0, 1, 2}, []float32{2, 1, 0})
		if picked[0] == 2 || picked[1] == 2 {
			t.Fatalf("picked %v: a score of zero comes before others", picked)
		}
		if picked[0] == 1 {
			second++
		}
	}
	expectShares(t, []float64{float64(second) / draws}, []float64{1.0 / 3})
}

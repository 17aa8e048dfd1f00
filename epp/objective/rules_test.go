package objective

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

const pool1, pool2 = "ns/one", "ns/two"

// at is a moment, later with a higher number.
func at(second int64) time.Time { return time.Unix(second, 0) }

// to is a rule for these models, for any when there are none, with one target.
func to(target string, models ...string) Rule {
	return Rule{Models: models, Targets: []Target{{Model: target}}}
}

func TestPriorities(t *testing.T) {
	r := New([]Objective{
		{Pool: pool1, Name: "chat", Priority: 10},
		{Pool: pool1, Name: "batch", Priority: -5},
		{Pool: pool1, Name: "plain"},
		{Pool: pool2, Name: "chat", Priority: 2},
		{Pool: pool1, Name: "chat", Priority: 99},
	}, nil)
	for _, c := range []struct {
		rules           *Rules
		pool, objective string
		priority        int
		known           bool
	}{
		{r, pool1, "chat", 10, true},
		{r, pool1, "batch", -5, true},
		{r, pool1, "plain", 0, true},
		{r, pool2, "chat", 2, true},
		{r, pool2, "batch", 0, false},
		{r, pool1, "", 0, false},
		{r, pool1, "Chat", 0, false},
		{r, "other/one", "chat", 0, false},
		{r, "", "", 0, false},
		{nil, pool1, "chat", 0, false},
		{New(nil, nil), pool1, "chat", 0, false},
	} {
		if priority, known := c.rules.Priority(c.pool, c.objective); priority != c.priority || known != c.known {
			t.Errorf("priority of %q in %s is %d, %t, want %d, %t", c.objective, c.pool, priority, known, c.priority, c.known)
		}
	}
}

func TestWhichRuleHasTheSay(t *testing.T) {
	type want struct{ pool, model, rewrite, target string } // an empty rewrite: none
	cases := map[string]struct {
		rewrites []Rewrite
		want     []want
	}{
		"nothing": {nil, []want{{pool1, "m", "", ""}}},
		"exact, and other models as they are": {
			[]Rewrite{{Pool: pool1, Name: "a", Rules: []Rule{to("x", "m", "n")}}},
			[]want{{pool1, "m", "a", "x"}, {pool1, "n", "a", "x"}, {pool1, "M", "", ""}, {pool1, "", "", ""}, {pool2, "m", "", ""}},
		},
		"any model": {
			[]Rewrite{{Pool: pool1, Name: "a", Rules: []Rule{to("x")}}},
			[]want{{pool1, "m", "a", "x"}, {pool1, "", "a", "x"}, {pool2, "m", "", ""}},
		},
		"exact before any, in one object": {
			[]Rewrite{{Pool: pool1, Name: "a", Rules: []Rule{to("any"), to("x", "m")}}},
			[]want{{pool1, "m", "a", "x"}, {pool1, "n", "a", "any"}},
		},
		"exact of a younger object before any of an older": {
			[]Rewrite{
				{Pool: pool1, Name: "a", Created: at(1), Rules: []Rule{to("any")}},
				{Pool: pool1, Name: "b", Created: at(2), Rules: []Rule{to("x", "m")}}},
			[]want{{pool1, "m", "b", "x"}, {pool1, "n", "a", "any"}},
		},
		"the oldest, whatever the order and the name": {
			[]Rewrite{
				{Pool: pool1, Name: "a", Created: at(3), Rules: []Rule{to("3", "m"), to("any3")}},
				{Pool: pool1, Name: "c", Created: at(1), Rules: []Rule{to("1", "m"), to("any1")}},
				{Pool: pool1, Name: "b", Created: at(2), Rules: []Rule{to("2", "m", "n"), to("any2")}}},
			[]want{{pool1, "m", "c", "1"}, {pool1, "n", "b", "2"}, {pool1, "o", "c", "any1"}},
		},
		"of one age the first name": {
			[]Rewrite{
				{Pool: pool1, Name: "b", Created: at(1), Rules: []Rule{to("b", "m")}},
				{Pool: pool1, Name: "a", Created: at(1), Rules: []Rule{to("a", "m")}}},
			[]want{{pool1, "m", "a", "a"}},
		},
		"of one object the first rule": {
			[]Rewrite{{Pool: pool1, Name: "a", Rules: []Rule{to("first", "m"), to("second", "m"), to("any"), to("any2")}}},
			[]want{{pool1, "m", "a", "first"}, {pool1, "n", "a", "any"}},
		},
		"an older object of another pool": {
			[]Rewrite{
				{Pool: pool2, Name: "a", Created: at(1), Rules: []Rule{to("2", "m")}},
				{Pool: pool1, Name: "b", Created: at(2), Rules: []Rule{to("1", "m")}}},
			[]want{{pool1, "m", "b", "1"}, {pool2, "m", "a", "2"}},
		},
		"a rule without targets gives way": {
			[]Rewrite{
				{Pool: pool1, Name: "a", Created: at(1), Rules: []Rule{{Models: []string{"m"}}}},
				{Pool: pool1, Name: "b", Created: at(2), Rules: []Rule{to("x", "m")}}},
			[]want{{pool1, "m", "b", "x"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			given := slices.Clone(c.rewrites)
			r := New(nil, c.rewrites)
			for _, w := range c.want {
				rewrite, target, ok := r.Rewrite(w.pool, w.model)
				if rewrite != w.rewrite || target != w.target || ok != (w.rewrite != "") {
					t.Errorf("%s of %s becomes %q by %q (%t), want %q by %q", w.model, w.pool, target, rewrite, ok, w.target, w.rewrite)
				}
			}
			for i := range given {
				if given[i].Name != c.rewrites[i].Name {
					t.Error("the order of what was given has changed")
				}
			}
		})
	}
	if _, _, ok := (*Rules)(nil).Rewrite(pool1, "m"); ok {
		t.Error("nil rules rewrite")
	}
}

func TestShares(t *testing.T) {
	for name, c := range map[string]struct {
		targets []Target
		want    []string // the model of each share
	}{
		"one":                {[]Target{{"a", 7}}, []string{"a", "a", "a", "a", "a", "a", "a"}},
		"weights":            {[]Target{{"a", 1}, {"b", 3}, {"c", 2}}, []string{"a", "b", "b", "b", "c", "c"}},
		"none has a weight":  {[]Target{{"a", 0}, {"b", 0}, {"c", 0}}, []string{"a", "b", "c"}},
		"one has no weight":  {[]Target{{"a", 0}, {"b", 2}, {"c", 0}}, []string{"b", "b"}},
		"one model twice":    {[]Target{{"a", 1}, {"a", 1}, {"b", 1}}, []string{"a", "a", "b"}},
		"one without weight": {[]Target{{"a", 0}}, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			choice := newChoice("r", c.targets)
			if choice.shares() != uint64(len(c.want)) {
				t.Fatalf("%d shares, want %d", choice.shares(), len(c.want))
			}
			for i, want := range c.want {
				if got := choice.at(uint64(i)); got != want {
					t.Errorf("share %d goes to %s, want %s", i, got, want)
				}
			}
		})
	}
	if newChoice("r", nil) != nil {
		t.Error("there is a choice of nothing")
	}
	many := make([]Target, 10_000)
	for i := range many {
		many[i] = Target{Model: "m", Weight: math.MaxUint32}
	}
	if got, want := newChoice("r", many).shares(), uint64(10_000)*math.MaxUint32; got != want {
		t.Errorf("%d shares, want %d: the sum does not fit", got, want)
	}
}

// Draws follow the weights. The bounds are six standard deviations away: chance does not cross them.
func TestDrawsFollowTheWeights(t *testing.T) {
	const draws = 40_000
	for name, c := range map[string]struct {
		targets []Target
		want    map[string]float64
	}{
		"weights":  {[]Target{{"a", 1}, {"b", 3}}, map[string]float64{"a": 0.25, "b": 0.75}},
		"uniform":  {[]Target{{"a", 0}, {"b", 0}, {"c", 0}, {"d", 0}}, map[string]float64{"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25}},
		"extremes": {[]Target{{"a", 1_000_000}, {"b", 1_000_000}}, map[string]float64{"a": 0.5, "b": 0.5}},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(nil, []Rewrite{{Pool: pool1, Name: "r", Rules: []Rule{{Models: []string{"m"}, Targets: c.targets}}}})
			drawn := map[string]int{}
			for range draws {
				_, target, _ := r.Rewrite(pool1, "m")
				drawn[target]++
			}
			for model, share := range c.want {
				if off := math.Abs(float64(drawn[model]) - draws*share); off > 6*math.Sqrt(draws*share*(1-share)) {
					t.Errorf("%s was drawn %d times of %d, want about %.0f", model, drawn[model], draws, draws*share)
				}
			}
			if len(drawn) != len(c.want) {
				t.Errorf("drawn: %v", drawn)
			}
		})
	}
}

func TestModels(t *testing.T) {
	r := New([]Objective{{Pool: "ns/objectives", Name: "o"}}, []Rewrite{
		{Pool: pool1, Name: "b", Created: at(2), Rules: []Rule{to("x", "m", "z")}},
		{Pool: pool1, Name: "a", Created: at(1), Rules: []Rule{to("y", "m"), to("m")}},
		{Pool: pool2, Name: "c", Rules: []Rule{{Targets: []Target{{"p", 1}, {"q", 0}}}}},
	})
	for _, c := range []struct {
		rules *Rules
		pool  string
		want  []string
	}{
		{r, pool1, []string{"m", "x", "y", "z"}},
		{r, pool2, []string{"p", "q"}},
		{r, "ns/objectives", nil},
		{r, "ns/unknown", nil},
		{nil, pool1, nil},
	} {
		if got := slices.Collect(c.rules.Models(c.pool)); !slices.Equal(got, c.want) {
			t.Errorf("models of %s are %v, want %v", c.pool, got, c.want)
		}
		if got := c.rules.Rewrites(c.pool); got != (len(c.want) > 0) {
			t.Errorf("models of %s are rewritten: %v", c.pool, got)
		}
	}
}

func TestLookupsAllocateNothing(t *testing.T) {
	r := many(100)
	if n := testing.AllocsPerRun(1000, func() {
		r.Priority(pool1, "objective-7")
		r.Rewrite(pool1, "model-7")
		r.Rewrite(pool1, "other")
		r.Rewrite(pool2, "other")
		r.Rewrites(pool1)
		(*Rules)(nil).Rewrite(pool1, "m")
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

// many are n objectives and n rewrites with ten targets each, and one for any model.
func many(n int) *Rules {
	var objectives []Objective
	rewrites := []Rewrite{{Pool: pool1, Name: "any", Rules: []Rule{to("any")}}}
	for i := range n {
		objectives = append(objectives, Objective{Pool: pool1, Name: fmt.Sprintf("objective-%d", i), Priority: i})
		var targets []Target
		for j := range 10 {
			targets = append(targets, Target{Model: fmt.Sprintf("target-%d", j), Weight: uint32(j + 1)})
		}
		rewrites = append(rewrites, Rewrite{Pool: pool1, Name: fmt.Sprintf("rewrite-%d", i), Rules: []Rule{{Models: []string{fmt.Sprintf("model-%d", i)}, Targets: targets}}})
	}
	return New(objectives, rewrites)
}

func BenchmarkLookups(b *testing.B) {
	r := many(1000)
	b.ReportAllocs()
	for b.Loop() {
		r.Priority(pool1, "objective-500")
		r.Rewrite(pool1, "model-500")
	}
}

package profile_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/profile"
)

// scheduleWith has a handler decide among four candidates for a request with a header x-stage.
func scheduleWith(t *testing.T, handler profile.Handler, stage string) ([]int, error) {
	t.Helper()
	c := scheduling.NewCycle(&body.Request{}, poolOf(4).Endpoints(), time.Now())
	defer c.Release()
	if stage != "" {
		c.Headers = scheduling.Headers{{Name: "x-stage", Value: stage}}
	}
	picked, err := handler.Schedule(c)
	return slices.Clone(picked), err
}

func stages(names ...string) []*profile.Profile {
	var profiles []*profile.Profile
	for i, name := range names {
		profiles = append(profiles, &profile.Profile{Name: name, Filters: []scheduling.Filter{keep{i}}, Picker: &record{}})
	}
	return profiles
}

func TestHeaderRunsTheProfileNamed(t *testing.T) {
	for name, test := range map[string]struct {
		parameters, stage string
		profiles          []string
		want              int // -1: refused
	}{
		"by its name":                {`{"headerName":"X-Stage"}`, "prefill", []string{"encode", "prefill", "decode"}, 1},
		"blanks around it":           {`{"headerName":"x-stage"}`, " prefill ", []string{"encode", "prefill", "decode"}, 1},
		"no header":                  {`{"headerName":"x-stage"}`, "", []string{"encode", "prefill", "decode"}, 2},
		"another header":             {``, "prefill", []string{"encode", "prefill", "decode"}, 2},
		"no header, another default": {`{"headerName":"x-stage","defaultProfile":"encode"}`, "", []string{"encode", "prefill"}, 0},
		"no header, no default":      {`{"headerName":"x-stage"}`, "", []string{"encode", "prefill"}, -1},
		"an unknown profile":         {`{"headerName":"x-stage"}`, "Prefill", []string{"encode", "prefill", "decode"}, -1},
		"one profile always runs":    {`{"headerName":"x-stage","defaultProfile":"decode"}`, "other", []string{"encode"}, 0},
	} {
		handler, err := profile.NewHeader([]byte(test.parameters), stages(test.profiles...))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		picked, err := scheduleWith(t, handler, test.stage)
		switch {
		case test.want < 0:
			if !errors.Is(err, scheduling.ErrBadRequest) {
				t.Errorf("%s: picked %v, error %v", name, picked, err)
			}
		case err != nil || !slices.Equal(picked, []int{test.want}):
			t.Errorf("%s: picked %v, error %v, want %d", name, picked, err, test.want)
		}
	}
	for parameters, field := range map[string]string{
		`{"headerName":""}`: "headerName", `{"headerName":"a:b"}`: "headerName", `{"defaultProfile":"none"}`: "defaultProfile", `{"x":1}`: "x",
	} {
		if _, err := profile.NewHeader([]byte(parameters), stages("a", "b")); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v does not name %s", parameters, err, field)
		}
	}
	if _, err := profile.NewHeader(nil, nil); err == nil {
		t.Error("no profile was accepted")
	}
}

// learner is filter, scorer and observer in one.
type learner struct {
	keeps   []int
	learned []int
}

func (l *learner) Filter(_ *scheduling.Cycle, in []int) []int { return keep(l.keeps).Filter(nil, in) }
func (l *learner) Score(_ *scheduling.Cycle, _ []int, out []float32) {
	clear(out)
}
func (l *learner) Picked(_ *scheduling.Cycle, chosen []int) { l.learned = append(l.learned, chosen...) }

func TestAScorerThatFiltersDoesSoFirstAndLearnsOnce(t *testing.T) {
	l := &learner{keeps: []int{1, 3}}
	// The second filter takes the first candidate that it sees.
	p := &profile.Profile{Filters: []scheduling.Filter{firstOnly{}}, Scorers: []profile.Weighted{{Scorer: l, Weight: 1}, {Scorer: l, Weight: 2}}, Picker: &record{}}
	for range 2 {
		if _, err := profile.NewSingle(nil, []*profile.Profile{p}); err != nil {
			t.Fatal(err)
		}
	}
	handler, _ := profile.NewSingle(nil, []*profile.Profile{p})
	picked, err := scheduleWith(t, handler, "")
	if err != nil || !slices.Equal(picked, []int{1}) {
		t.Fatalf("picked %v, error %v, want 1", picked, err)
	}
	if !slices.Equal(l.learned, []int{1}) || len(p.Filters) != 2 {
		t.Errorf("learned %v, want [1]; %d filters, want 2", l.learned, len(p.Filters))
	}
}

// firstOnly keeps one candidate.
type firstOnly struct{}

func (firstOnly) Filter(_ *scheduling.Cycle, in []int) []int { return in[:1] }

type noting string

func (n noting) Produce(c *scheduling.Cycle) { c.PutAttribute("note", c.Attribute("note")+string(n)) }

type admits func(c *scheduling.Cycle) error

func (a admits) Admit(c *scheduling.Cycle) error { return a(c) }

func TestBefore(t *testing.T) {
	single, err := profile.NewSingle(nil, stages("only"))
	if err != nil {
		t.Fatal(err)
	}
	if got := profile.Before(single, nil, nil); got != profile.Handler(single) {
		t.Error("without producers and admitters the handler is wrapped all the same")
	}
	no := errors.New("no")
	var saw string
	handler := profile.Before(single, []scheduling.Producer{noting("a"), noting("b")}, []scheduling.Admitter{admits(func(c *scheduling.Cycle) error {
		saw = c.Attribute("note")
		if c.Headers != nil {
			return no
		}
		return nil
	})})
	for range 2 { // attributes do not outlive their cycle
		if picked, err := scheduleWith(t, handler, ""); err != nil || !slices.Equal(picked, []int{0}) || saw != "ab" {
			t.Errorf("picked %v, error %v; the admitter saw %q, want ab", picked, err, saw)
		}
	}
	if picked, err := scheduleWith(t, handler, "x"); !errors.Is(err, no) || len(picked) != 0 {
		t.Errorf("picked %v, error %v, want %v", picked, err, no)
	}
}

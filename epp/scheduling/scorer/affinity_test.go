package scorer_test

import (
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/response"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/scorer"
)

// labeled is a cycle of candidates with this label, which an empty value leaves out.
func labeled(t *testing.T, label string, values ...string) *scheduling.Cycle {
	t.Helper()
	c := cycleOf(t, make([]scheduling.Load, len(values))...)
	for i, value := range values {
		endpoint := *c.Candidates[i]
		if endpoint.Labels = map[string]string{}; value != "" {
			endpoint.Labels[label] = value
		}
		c.Candidates[i] = &endpoint
	}
	return c
}

func TestNoHitLRU(t *testing.T) {
	s := must(scorer.NewNoHitLRU(nil))
	c := cycleOf(t, make([]scheduling.Load, 4)...)
	expectScores(t, s, c, []float32{1, 1, 1, 1})
	s.Picked(c, []int{2, 0})
	expectScores(t, s, c, []float32{1, 1, 0, 1})
	s.Picked(c, []int{0})
	expectScores(t, s, c, []float32{0, 1, 1.0 / 3, 1})
	s.Picked(c, []int{1})
	s.Picked(c, []int{3})
	expectScores(t, s, c, []float32{2.0 / 3, 1.0 / 3, 1, 0})
	// Somebody holds a part of the prompt: no opinion, and nothing to learn.
	c.PrefixBlocks[1] = 1
	expectScores(t, s, c, []float32{0.5, 0.5, 0.5, 0.5})
	s.Picked(c, []int{2})
	c.PrefixBlocks[1] = 0
	expectScores(t, s, c, []float32{2.0 / 3, 1.0 / 3, 1, 0})

	got := make([]float32, 1)
	if s.Score(c, []int{3}, got); got[0] != 1 {
		t.Errorf("the only candidate scores %g, want 1", got[0])
	}
}

func TestNoHitLRUForgetsTheOldest(t *testing.T) {
	s := must(scorer.NewNoHitLRU([]byte(`{"lruSize":2}`)))
	c := cycleOf(t, make([]scheduling.Load, 3)...)
	for _, i := range []int{1, 0, 2} {
		s.Picked(c, []int{i})
	}
	expectScores(t, s, c, []float32{0.5, 1, 0})
}

func TestContextLength(t *testing.T) {
	const label = "llm-d.ai/context-length-range"
	c := labeled(t, label, "0-2048", "2048-8192", "0-100000", "9000-9000", "", "8k", "9-1")
	for bytes, want := range map[int][]float32{
		4 * 1000: {
			0.3 + 0.7*(0.7/1.2048+0.3*1048/2048), 0.3 / (1 + 1048.0/1000), 0.3 + 0.7*(0.7/11+0.3*0.99), 0.3 / 9, 0.5, 0, 0},
		4 * 2048: {
			0.3 + 0.7*(0.7/1.2048), 0.3 + 0.7*(0.7/1.6144+0.3), 0.3 + 0.7*(0.7/11+0.3*97952/100000), 0.3 / (1 + 6952.0/1000), 0.5, 0, 0},
		4 * 9000: {
			0.3 / (1 + 6952.0/1000), 0.3 / (1 + 808.0/1000), 0.3 + 0.7*(0.7/11+0.3*0.91), 1, 0.5, 0, 0},
	} {
		c.Request.PromptBytes = bytes
		expectScores(t, must(scorer.NewContextLengthAware(nil)), c, want)
	}

	c.Request.PromptBytes = 4 * 2048
	if got := must(scorer.NewContextLengthAware(nil)).Filter(c, c.Indices()); len(got) != 7 {
		t.Errorf("without filtering keeps %v, want all", got)
	}
	f := must(scorer.NewContextLengthAware([]byte(`{"enableFiltering":true}`)))
	if got := f.Filter(c, c.Indices()); len(got) != 4 || got[0] != 0 || got[1] != 1 || got[2] != 2 || got[3] != 4 {
		t.Errorf("keeps %v, want [0 1 2 4]", got)
	}
	// Of a body that was cut the announced size counts.
	c.Request.PromptBytes, c.Request.Truncated, c.BodyBytes = 100, true, 4*9000
	if got := f.Filter(c, c.Indices()); len(got) != 3 || got[0] != 2 || got[1] != 3 || got[2] != 4 {
		t.Errorf("of a cut body keeps %v, want [2 3 4]", got)
	}
	other := labeled(t, "range", "0-1")
	expectScores(t, must(scorer.NewContextLengthAware([]byte(`{"label":"range"}`))), other, []float32{0.3 + 0.7*(0.7/1.0001+0.3)})
}

func TestHeaderLabelAffinity(t *testing.T) {
	s := must(scorer.NewHeaderLabelAffinity([]byte(`{"headerName":"X-Zone","labelKey":"zone"}`)))
	c := labeled(t, "zone", "a", "b", "", "a")
	expectScores(t, s, c, []float32{0, 0, 0, 0})
	c.Headers = scheduling.Headers{{Name: "x-zone", Value: "a"}}
	expectScores(t, s, c, []float32{1, 0, 0, 1})

	for i, want := range []string{"a", "b", ""} {
		answer := &response.Answer{Endpoint: c.Candidates[i]}
		s.AnswerHeaders(answer)
		if got := answer.Headers(); want == "" && len(got) != 0 || want != "" && (len(got) != 1 || got[0] != response.Header{Name: "x-zone", Value: want}) {
			t.Errorf("candidate %d: answer headers %v, want %q", i, got, want)
		}
	}
	silent := must(scorer.NewHeaderLabelAffinity([]byte(`{"headerName":"x-zone","labelKey":"zone","stampResponseHeader":false}`)))
	answer := &response.Answer{Endpoint: c.Candidates[0]}
	silent.AnswerHeaders(answer)
	s.AnswerHeaders(&response.Answer{})
	if len(answer.Headers()) != 0 {
		t.Errorf("answer headers %v, want none", answer.Headers())
	}
}

func TestSessionAffinity(t *testing.T) {
	s := must(scorer.NewSessionAffinity([]byte(`{"strategy":"session_id"}`)))
	c := cycleOf(t, make([]scheduling.Load, 3)...)
	c.Headers = scheduling.Headers{{Name: "x-session-id", Value: "s"}}
	expectScores(t, s, c, []float32{0, 0, 0})
	s.Picked(c, []int{1})
	expectScores(t, s, c, []float32{0, 1, 0})
	got := []float32{7}
	if s.Score(c, []int{2}, got); got[0] != 0 {
		t.Errorf("without its endpoint the other scores %g, want 0", got[0])
	}
}

func TestEndpointAttribute(t *testing.T) {
	const known = datalayer.HasWaiting | datalayer.HasKVUsage
	loads := []scheduling.Load{{Known: known, Waiting: 2, KVUsage: 0.2}, {Known: known, Waiting: 6, KVUsage: 0.9}, {Known: known, Waiting: 3, KVUsage: 0.4}, {}}
	for parameters, want := range map[string][]float32{
		`{"attributeKey":"waiting-queue","algorithm":{"type":"linear_lower_is_better"}}`:                                                         {1, 0, 0.75, 0},
		`{"attributeKey":"waiting-queue","algorithm":{"type":"linear_higher_is_better","normalization":{"adaptiveRange":{}}}}`:                   {0, 1, 0.25, 0},
		`{"attributeKey":"kv-cache-utilization","algorithm":{"type":"linear_lower_is_better","normalization":{"fixedRange":{"min":0,"max":1}}}}`: {0.8, 0.1, 0.6, 0},
		`{"attributeKey":"active-requests","algorithm":{"type":"linear_lower_is_better"}}`:                                                       {1, 1, 1, 1},
		`{"attributeKey":"gpu","algorithm":{"type":"linear_higher_is_better"}}`:                                                                  {0, 0, 0, 0},
	} {
		expectScores(t, must(scorer.NewEndpointAttribute([]byte(parameters))), cycleOf(t, loads...), want)
	}
	c := cycleOf(t, loads...)
	c.Custom = func(e *datalayer.Endpoint, name string) (float64, bool) {
		return 5, name == "gpu" && e == c.Candidates[1]
	}
	expectScores(t, must(scorer.NewEndpointAttribute([]byte(`{"attributeKey":"gpu","algorithm":{"type":"linear_lower_is_better"}}`))), c, []float32{0, 1, 0, 0})
}

// TestParametersNameTheField checks that an error says which field is wrong.
func TestParametersNameTheField(t *testing.T) {
	builds := map[string]func([]byte) error{
		"lru":       func(raw []byte) error { _, err := scorer.NewNoHitLRU(raw); return err },
		"length":    func(raw []byte) error { _, err := scorer.NewContextLengthAware(raw); return err },
		"label":     func(raw []byte) error { _, err := scorer.NewHeaderLabelAffinity(raw); return err },
		"session":   func(raw []byte) error { _, err := scorer.NewSessionAffinity(raw); return err },
		"attribute": func(raw []byte) error { _, err := scorer.NewEndpointAttribute(raw); return err },
	}
	for _, test := range []struct{ plugin, parameters, field string }{
		{"lru", `{"lruSize":0}`, "lruSize"},
		{"lru", `{"lruSize":2000000}`, "lruSize"},
		{"lru", `{"prefixPluginType":"inflight-load-producer"}`, "prefixPluginType"},
		{"lru", `{"prefixMatchInfoProducerName":"precise"}`, "prefixMatchInfoProducerName"},
		{"length", `{"label":""}`, "label"},
		{"label", `{"labelKey":"zone"}`, "headerName"},
		{"label", `{"headerName":"a b","labelKey":"zone"}`, "headerName"},
		{"label", `{"headerName":"x"}`, "labelKey"},
		{"session", `{"strategy":"x"}`, "strategy"},
		{"attribute", `{"algorithm":{"type":"linear_lower_is_better"}}`, "attributeKey"},
		{"attribute", `{"attributeKey":"x"}`, "algorithm.type"},
		{"attribute", `{"attributeKey":"x","algorithm":{"type":"linear_lower_is_better","normalization":{"adaptiveRange":{},"fixedRange":{"min":0,"max":1}}}}`, "algorithm.normalization"},
		{"attribute", `{"attributeKey":"x","algorithm":{"type":"linear_lower_is_better","normalization":{"fixedRange":{"min":0}}}}`, "algorithm.normalization.fixedRange"},
		{"attribute", `{"attributeKey":"x","algorithm":{"type":"linear_lower_is_better","normalization":{"fixedRange":{"min":1,"max":1}}}}`, "algorithm.normalization.fixedRange"},
	} {
		if err := builds[test.plugin]([]byte(test.parameters)); err == nil || !strings.Contains(err.Error(), test.field) {
			t.Errorf("%s %s: error %v does not name %s", test.plugin, test.parameters, err, test.field)
		}
	}
	for name, build := range builds {
		if err := build([]byte(`{"noSuchField":1}`)); err == nil || !strings.Contains(err.Error(), "noSuchField") {
			t.Errorf("%s: error %v, want one about noSuchField", name, err)
		}
	}
}

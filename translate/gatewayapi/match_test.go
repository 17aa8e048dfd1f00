package gatewayapi

import (
	"regexp/syntax"
	"testing"
)

// TestEstimateRE2 holds the estimate against the sizes that Envoy 1.40 reported for the same expressions.
func TestEstimateRE2(t *testing.T) {
	for expression, reported := range map[string]int{
		`\pL{50}`:              354,
		`.{200}`:               404,
		`[^/]{200}`:            404,
		`(?i)[a-z]{200}`:       204,
		`(?i)abcdefghij{100}`:  113,
		`\PL{20}`:              164,
		`\w{300}`:              904,
		`[\pL\pN_-]{40}`:       484,
		`(a|b|c|dd|ee|ff){60}`: 544,
		`(?i)\pL{20}`:          144,
		`(?i)k{120}`:           124,
		`/v[0-9]+/models/[^/]+/chat/(completions|embeddings).{0,150}`: 498,
	} {
		parsed, err := syntax.Parse(expression, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		program, err := syntax.Compile(parsed.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		if got := estimateRE2(program); got < reported || got > 6*reported {
			t.Errorf("estimate of %s is %d, Envoy reported %d", expression, got, reported)
		}
	}
}

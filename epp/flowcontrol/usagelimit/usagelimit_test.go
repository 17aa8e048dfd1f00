package usagelimit

import (
	"fmt"
	"strings"
	"testing"
)

func TestStatic(t *testing.T) {
	for parameters, want := range map[string]string{
		``: "[1 1]", `{"threshold": 0.7}`: "[0.7 0.7]", `{"threshold": 1.5}`: "[1.5 1.5]",
		`{"threshold": 0}`: "threshold", `{"threshold": -1}`: "threshold", `{"limit": 1}`: "limit",
	} {
		got := ""
		policy, err := NewStatic([]byte(parameters))
		if err == nil {
			out := make([]float64, 2)
			policy.Ceilings([]int{1, 0}, out)
			got = fmt.Sprint(out)
		} else {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", parameters, got, want)
		}
	}
}

func TestPriorityHoldback(t *testing.T) {
	for _, test := range []struct {
		parameters string
		priorities []int
		want       string // the ceilings, or part of the error
	}{
		{`{"minCeiling": 0.4, "maxCeiling": 0.8}`, []int{100, 1, -10}, "[0.8 0.6 0.4]"},
		{`{"minCeiling": 0.5}`, []int{3}, "[1]"},
		{`{"minCeiling": 0.5}`, nil, "[]"},
		{`{"minCeiling": 0.5, "domain": "value", "shape": "linear"}`, []int{100, 50, 0}, "[1 0.75 0.5]"},
		{`{"minCeiling": 0.5, "domain": "value"}`, []int{-4, -5, -6}, "[1 0.75 0.5]"},
		{`{"domain": "explicit", "ceilings": {"100": 0.95, "-1": 0.3}}`, []int{100, 50, -1}, "[0.95 0 0.3]"},
		{`{}`, nil, "minCeiling: missing"},
		{`{"minCeiling": 1}`, nil, "minCeiling"},
		{`{"minCeiling": -0.1}`, nil, "minCeiling"},
		{`{"minCeiling": 0, "maxCeiling": 0}`, nil, "maxCeiling"},
		{`{"minCeiling": 0, "maxCeiling": 1.1}`, nil, "maxCeiling"},
		{`{"minCeiling": 0.6, "maxCeiling": 0.5}`, nil, "below minCeiling"},
		{`{"minCeiling": 0.5, "shape": "step"}`, nil, "shape"},
		{`{"minCeiling": 0.5, "domain": "name"}`, nil, "domain"},
		{`{"minCeiling": 0.5, "ceilings": {"1": 1}}`, nil, "ceilings"},
		{`{"domain": "explicit"}`, nil, "ceilings: missing"},
		{`{"domain": "explicit", "minCeiling": 0.5, "ceilings": {"1": 1}}`, nil, "minCeiling"},
		{`{"domain": "explicit", "ceilings": {"high": 1}}`, nil, "high"},
		{`{"domain": "explicit", "ceilings": {"1": 1.5}}`, nil, "1.5"},
		{`{"domain": "explicit", "ceilings": {"1": 0.5, "0": 0.6}}`, nil, "stops first"},
	} {
		got := ""
		policy, err := NewPriorityHoldback([]byte(test.parameters))
		if err == nil {
			out := make([]float64, len(test.priorities))
			policy.Ceilings(test.priorities, out)
			for i := range out {
				out[i] = float64(int(out[i]*1000+0.5)) / 1000
			}
			got = fmt.Sprint(out)
		} else {
			got = err.Error()
		}
		if !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %s", test.parameters, got, test.want)
		}
	}
}

package fairness

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParameters(t *testing.T) {
	build := map[string]func([]byte) error{
		GlobalStrictType: func(raw []byte) error { _, err := NewGlobalStrict(raw); return err },
		RoundRobinType:   func(raw []byte) error { _, err := NewRoundRobin(raw); return err },
		ProgramAwareType: func(raw []byte) error { _, err := NewProgramAware(raw); return err },
	}
	for _, test := range []struct{ policy, parameters, fault string }{
		{GlobalStrictType, ``, ""},
		{GlobalStrictType, `{"a": 1}`, "a"},
		{RoundRobinType, `{}`, ""},
		{RoundRobinType, `{"a": 1}`, "a"},
		{ProgramAwareType, ``, ""},
		{ProgramAwareType, `{"strategy": "las", "lasWeightService": 1, "lasWeightHeadWait": 0, "lasHalfLifeSeconds": 0, "lasDecayFactor": 1, "evictionTtlSeconds": 0, "evictionSweepSeconds": 1}`, ""},
		{ProgramAwareType, `{"strategy": "drr"}`, "strategy"},
		{ProgramAwareType, `{"lasWeightService": -1}`, "lasWeightService"},
		{ProgramAwareType, `{"lasWeightHeadWait": -1}`, "lasWeightHeadWait"},
		{ProgramAwareType, `{"lasWeightService": 0, "lasWeightHeadWait": 0}`, "both 0"},
		{ProgramAwareType, `{"lasHalfLifeSeconds": -1}`, "lasHalfLifeSeconds"},
		{ProgramAwareType, `{"lasDecayFactor": 0}`, "lasDecayFactor"},
		{ProgramAwareType, `{"lasDecayFactor": 1.1}`, "lasDecayFactor"},
		{ProgramAwareType, `{"evictionTtlSeconds": -1}`, "evictionTtlSeconds"},
		{ProgramAwareType, `{"evictionSweepSeconds": 0}`, "evictionSweepSeconds"},
		{ProgramAwareType, `{"halfLife": 1}`, "halfLife"},
	} {
		err := build[test.policy]([]byte(test.parameters))
		if (err != nil) != (test.fault != "") || err != nil && !strings.Contains(err.Error(), test.fault) {
			t.Errorf("%s %s: error %v, want one about %q", test.policy, test.parameters, err, test.fault)
		}
	}
}

// TestMarkIsFadingService: the mark stands for what a model says that fades step by step.
func TestMarkIsFadingService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy, err := NewProgramAware(nil)
		if err != nil {
			t.Fatal(err)
		}
		turns := policy.NewTurns().(*programTurns)
		random := rand.New(rand.NewPCG(5, 5))
		model := map[string]float64{}
		for range 2000 {
			// a half-life is 60 s: a wait of 15 s leaves a fourth root of a half
			wait := 15 * random.IntN(3)
			time.Sleep(time.Duration(wait) * time.Second)
			for id := range model {
				for range wait / 15 {
					model[id] *= 0.8408964152537145
				}
			}
			id, tokens := fmt.Sprint(random.IntN(4)), float64(1+random.IntN(5000))
			turns.Attained(id, tokens, nil)
			model[id] += tokens
			a, b := fmt.Sprint(random.IntN(4)), fmt.Sprint(random.IntN(4))
			if ratio := model[a] / max(model[b], 1); ratio > 1.01 && model[a] > 1 && turns.programs[a].mark <= turns.programs[b].mark {
				t.Fatalf("%s has %g, %s has %g, and the marks say otherwise", a, model[a], b, model[b])
			}
		}
	})
}

// TestForgetsPrograms: what has faded goes at the next look, and so does what was not served for long.
func TestForgetsPrograms(t *testing.T) {
	for name, test := range map[string]struct {
		parameters string
		after      time.Duration
		left       int
	}{
		"faded":        {``, 30 * time.Minute, 1},
		"not yet":      {``, time.Minute, 101},
		"not served":   {`{"lasHalfLifeSeconds": 1e6, "evictionTtlSeconds": 400}`, 401 * time.Second, 1},
		"still served": {`{"lasHalfLifeSeconds": 1e6, "evictionTtlSeconds": 4000}`, 401 * time.Second, 101},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				policy, err := NewProgramAware([]byte(test.parameters))
				if err != nil {
					t.Fatal(err)
				}
				turns := policy.NewTurns().(*programTurns)
				for i := range 100 {
					turns.Attained(fmt.Sprint(i), 10_000, nil)
				}
				time.Sleep(test.after)
				turns.Attained("one more", 1, nil)
				if len(turns.programs) != test.left {
					t.Errorf("%d programs are remembered, want %d", len(turns.programs), test.left)
				}
			})
		})
	}
}

func TestRemembersSoManyPrograms(t *testing.T) {
	policy, err := NewProgramAware(nil)
	if err != nil {
		t.Fatal(err)
	}
	turns := policy.NewTurns().(*programTurns)
	for i := range maxPrograms + 100 {
		turns.Attained(fmt.Sprint(i), 1000, nil)
	}
	if len(turns.programs) != maxPrograms {
		t.Errorf("%d programs are remembered, want %d", len(turns.programs), maxPrograms)
	}
}

package fairness

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/flowcontrol"
)

// gather gives the value of each series; that of a program by "<name> <program>".
func gather(t *testing.T, p *ProgramAware) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(p)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = metric.GetGauge().GetValue()
		}
	}
	return values
}

func TestProgramMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := NewProgramAware(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := gather(t, p); len(got) != 1 || got["llm_d_epp_program_aware_jains_fairness_index"] != 1 {
			t.Fatalf("without programs: %v", got)
		}
		// two bands of one policy
		first, second := p.NewTurns().(*programTurns), p.NewTurns().(*programTurns)
		first.Waited("a", 100*time.Millisecond)
		second.Waited("a", 300*time.Millisecond)
		second.Waited("b", 0)
		first.Attained("a", 1000, nil)
		second.Attained("a", 600, nil)
		second.Attained("b", 100, nil)
		second.Attained("b", -500, nil)
		time.Sleep(time.Minute) // a half-life
		want := map[string]float64{
			"llm_d_epp_program_aware_jains_fairness_index":         0.5, // one of two waits
			"llm_d_epp_program_aware_avg_wait_time_milliseconds a": 200,
			"llm_d_epp_program_aware_avg_wait_time_milliseconds b": 0,
			"llm_d_epp_program_aware_attained_service_tokens a":    800,
			"llm_d_epp_program_aware_attained_service_tokens b":    0,
		}
		got := gather(t, p)
		for name, value := range want {
			if math.Abs(got[name]-value) > 1e-6 {
				t.Errorf("%s is %g, want %g", name, got[name], value)
			}
		}
		if len(got) != len(want) {
			t.Errorf("got %v", got)
		}
		first.Attained("a", 200, nil)
		if got := gather(t, p)["llm_d_epp_program_aware_attained_service_tokens a"]; math.Abs(got-1000) > 1e-6 {
			t.Errorf("800 tokens that are left and 200 more are %g", got)
		}
		second.Waited("x\xff", 0)
		second.Waited("x\xfe", 0) // looks the same
		for range 1000 {
			second.Waited("a", time.Second)
		}
		if got := gather(t, p)["llm_d_epp_program_aware_avg_wait_time_milliseconds a"]; got < 999 {
			t.Errorf("after a thousand waits of a second the mean is %g ms", got)
		}
		time.Sleep(2 * time.Hour)
		if got := gather(t, p); len(got) != 1 {
			t.Errorf("hours later: %v", got)
		}
	})
}

func TestFadingByTurnsShows(t *testing.T) {
	p, err := NewProgramAware([]byte(`{"lasHalfLifeSeconds": 0, "lasDecayFactor": 0.5}`))
	if err != nil {
		t.Fatal(err)
	}
	turns := p.NewTurns().(flowcontrol.WaitObserver)
	p.ledger.attained(p, "a", 800, time.Now())
	turns.Waited("b", 0)
	turns.Waited("b", 0)
	if got := gather(t, p)["llm_d_epp_program_aware_attained_service_tokens a"]; math.Abs(got-200) > 1e-6 {
		t.Errorf("after two turns %g of 800 tokens are left, want 200", got)
	}
}

func TestShowsSoManyPrograms(t *testing.T) {
	p, err := NewProgramAware(nil)
	if err != nil {
		t.Fatal(err)
	}
	turns := p.NewTurns().(*programTurns)
	for i := range maxShown + 100 {
		turns.Waited(fmt.Sprint(i, "\xff"), time.Second)
	}
	turns.Waited("\xfe", 0)
	if got := gather(t, p); len(got) != 2*maxShown+1 {
		t.Errorf("%d series, want two for each of %d programs and the index", len(got), maxShown)
	}
}

package admitter_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/admitter"
)

const known = datalayer.HasWaiting | datalayer.HasKVUsage

func refused(t *testing.T, parameters string, priority int, loads ...scheduling.Load) float64 {
	t.Helper()
	a, err := admitter.NewProbabilistic([]byte(parameters))
	if err != nil {
		t.Fatal(err)
	}
	const draws = 20_000
	count := 0
	for range draws {
		if err := a.Admit(&scheduling.Cycle{Priority: priority, Loads: loads}); err != nil {
			if !errors.Is(err, scheduling.ErrNotAdmitted) {
				t.Fatal(err)
			}
			count++
		}
	}
	return float64(count) / draws
}

func TestProbabilistic(t *testing.T) {
	kv := func(use float32) scheduling.Load { return scheduling.Load{Known: known, KVUsage: use} }
	for name, test := range map[string]struct {
		parameters string
		priority   int
		loads      []scheduling.Load
		want       float64
	}{
		"priority 0 is always admitted":       {``, 0, []scheduling.Load{kv(1)}, 0},
		"an idle pool":                        {``, -1, []scheduling.Load{kv(0)}, 0},
		"a full pool":                         {``, -1, []scheduling.Load{kv(0.8)}, 1},
		"the mean of the endpoints":           {`{"power":1,"k":1}`, -1, []scheduling.Load{kv(0.8), kv(0), kv(0), kv(0)}, 0.25},
		"the queue, when that is more":        {`{"power":1,"k":1}`, -1, []scheduling.Load{{Known: known, Waiting: 2, KVUsage: 0.1}}, 0.4},
		"the KV cache, when that is more":     {`{"power":1,"k":1,"kvCacheUtilThreshold":1}`, -5, []scheduling.Load{{Known: known, Waiting: 1, KVUsage: 0.6}}, 0.6},
		"the power":                           {`{"power":2,"k":2,"kvCacheUtilThreshold":1}`, -1, []scheduling.Load{kv(0.5)}, 0.5},
		"the defaults":                        {``, -1, []scheduling.Load{kv(0.8 * 0.25)}, 300 * math.Pow(0.25, 5)},
		"no metrics count as saturated":       {`{"power":1,"k":1}`, -1, []scheduling.Load{kv(0), {}}, 0.5},
		"without endpoints nobody is refused": {``, -1, nil, 0},
	} {
		got := refused(t, test.parameters, test.priority, test.loads...)
		// Six standard deviations of a share of 1/2.
		if math.Abs(got-test.want) > 6*0.5/math.Sqrt(20_000) || (test.want == 0 || test.want == 1) && got != test.want {
			t.Errorf("%s: %.3f are refused, want %.3f", name, got, test.want)
		}
	}
}

func TestParameters(t *testing.T) {
	for parameters, field := range map[string]string{
		`{"queueDepthThreshold":0}`: "queueDepthThreshold", `{"kvCacheUtilThreshold":0}`: "kvCacheUtilThreshold",
		`{"kvCacheUtilThreshold":2}`: "kvCacheUtilThreshold", `{"power":0}`: "power", `{"k":-1}`: "k", `{"x":1}`: "x",
	} {
		if _, err := admitter.NewProbabilistic([]byte(parameters)); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v does not name %s", parameters, err, field)
		}
	}
}

package filter_test

import (
	"slices"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/filter"
)

func cycleOf(t *testing.T, labels ...map[string]string) *scheduling.Cycle {
	t.Helper()
	specs := make([]datalayer.Spec, len(labels))
	for i, l := range labels {
		specs[i] = datalayer.Spec{Name: string(rune('a' + i)), Address: "10.0.0.1:" + string(rune('1'+i)), Labels: l}
	}
	pools := datalayer.New(datalayer.Options{})
	pools.Set("ns/pool", specs)
	pool, _ := pools.Get("ns/pool")
	c := scheduling.NewCycle(&body.Request{}, pool.Endpoints(), time.Now())
	t.Cleanup(c.Release)
	return c
}

func role(value string) map[string]string { return map[string]string{filter.RoleLabel: value} }

func TestRoles(t *testing.T) {
	c := cycleOf(t, role("decode"), role("prefill"), role("encode"), role("prefill-decode"), role("encode-prefill"), role("both"),
		role("encode-prefill-decode"), nil, role("other"))
	for name, test := range map[string]struct {
		build func([]byte) (*filter.Role, error)
		want  []int
	}{
		"decode":  {filter.NewDecode, []int{0, 3, 5, 6, 7}},
		"prefill": {filter.NewPrefill, []int{1, 3, 4, 5, 6}},
		"encode":  {filter.NewEncode, []int{2, 4, 6}},
	} {
		f, err := test.build(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Filter(c, c.Indices()); !slices.Equal(got, test.want) {
			t.Errorf("%s keeps %v, want %v", name, got, test.want)
		}
		if _, err := test.build([]byte(`{"x":1}`)); err == nil {
			t.Errorf("%s accepts an unknown parameter", name)
		}
	}
}

func TestLabelSelector(t *testing.T) {
	c := cycleOf(t, map[string]string{"tier": "gold", "gpu": "h100"}, map[string]string{"tier": "gold"}, nil)
	for raw, want := range map[string][]int{
		`{"matchLabels":{"tier":"gold"}}`: {0, 1},
		`{"matchLabels":{"tier":"gold"},"matchExpressions":[{"key":"gpu","operator":"In","values":["h100","h200"]}]}`: {0},
		`{"matchExpressions":[{"key":"gpu","operator":"DoesNotExist"}]}`:                                              {1, 2},
	} {
		f, err := filter.NewLabelSelector([]byte(raw))
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if got := f.Filter(c, c.Indices()); !slices.Equal(got, want) {
			t.Errorf("%s keeps %v, want %v", raw, got, want)
		}
	}
	for _, bad := range []string{`{}`, `{"matchLabel":{}}`, `{"matchExpressions":[{"key":"gpu","operator":"Near"}]}`} {
		if _, err := filter.NewLabelSelector([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

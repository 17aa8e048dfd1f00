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

func TestHeaderBasedTesting(t *testing.T) {
	// Two pods with three ports each, as data-parallel servers have, and one with an IPv6 address.
	addresses := []string{"10.0.0.1:3000", "10.0.0.1:3002", "10.0.0.1:3004", "10.0.0.2:3000", "10.0.0.2:3002", "10.0.0.2:3004",
		"[fd00::7]:3000"}
	candidates := make([]*datalayer.Endpoint, len(addresses))
	for i, address := range addresses {
		candidates[i] = endpointAt(t, address)
	}
	for name, test := range map[string]struct {
		headers   scheduling.Headers
		want      []int
		overrides bool
	}{
		"no header":                         {nil, []int{0, 1, 2, 3, 4, 5, 6}, false},
		"another header":                    {scheduling.Headers{{Name: "other", Value: "10.0.0.1"}}, []int{0, 1, 2, 3, 4, 5, 6}, false},
		"empty":                             {selects(""), []int{0, 1, 2, 3, 4, 5, 6}, false},
		"an IP is all of its ports":         {selects("10.0.0.2"), []int{3, 4, 5}, true},
		"one port":                          {selects("10.0.0.2:3002"), []int{4}, true},
		"several, with blanks":              {selects("10.0.0.1:3004 , 10.0.0.2:3000,"), []int{2, 3}, true},
		"an IP beside one of its ports":     {selects("10.0.0.1:3004,10.0.0.1"), []int{0, 1, 2}, true},
		"IPv6":                              {selects("fd00::7"), []int{6}, true},
		"IPv6 with port":                    {selects("[fd00::7]:3000"), []int{6}, true},
		"IPv4 in IPv6":                      {selects("::ffff:10.0.0.1"), []int{0, 1, 2}, true},
		"nobody has the port":               {selects("10.0.0.1:80"), []int{}, true},
		"nobody has the IP":                 {selects("10.0.0.9"), []int{}, true},
		"a port of 0 is not all ports":      {selects("10.0.0.1:0"), []int{}, true},
		"what is no address selects nobody": {selects("pod-1,:3000,10.0.0"), []int{}, true},
	} {
		f, err := filter.NewHeaderBasedTesting(nil)
		if err != nil {
			t.Fatal(err)
		}
		c := scheduling.NewCycle(&body.Request{}, candidates, time.Now())
		c.Headers = test.headers
		if got := f.Filter(c, c.Indices()); !slices.Equal(got, test.want) {
			t.Errorf("%s: keeps %v, want %v", name, got, test.want)
		}
		if got := f.OverridesSubset(test.headers); got != test.overrides {
			t.Errorf("%s: overrides the subset: %v", name, got)
		}
		c.Release()
	}
	if _, err := filter.NewHeaderBasedTesting([]byte(`{"header":"x"}`)); err == nil {
		t.Error("an unknown parameter was accepted")
	}
}

func selects(value string) scheduling.Headers {
	return scheduling.Headers{{Name: "test-epp-endpoint-selection", Value: value}}
}

func endpointAt(t *testing.T, address string) *datalayer.Endpoint {
	t.Helper()
	pools := datalayer.New(datalayer.Options{})
	pools.Set("ns/pool", []datalayer.Spec{{Name: "pod-rank-0", Namespace: "ns", Address: address}})
	pool, _ := pools.Get("ns/pool")
	return pool.Endpoints()[0]
}

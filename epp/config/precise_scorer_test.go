package config

import (
	"testing"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/scorer"
	"github.com/switchyard/switchyard/epp/tokens"
)

// looking is a filter that looks at the cycle.
type looking func(*scheduling.Cycle)

func (l looking) Filter(c *scheduling.Cycle, in []int) []int {
	l(c)
	return in
}

const preciseScorer = `
plugins:
- type: precise-prefix-cache-scorer
  name: kv
  parameters: {indexerConfig: {kvBlockIndexConfig: {enableMetrics: true}}, speculativeIndexing: true}
- {type: queue-scorer}
- {type: decode-filter}
`

func TestThePreciseScorerIsAProducerToo(t *testing.T) {
	for name, profiles := range map[string]string{
		"no profiles":     "",
		"of two profiles": "- {type: header-profile-handler}\nschedulingProfiles:\n- {name: decode, plugins: [{pluginRef: kv}]}\n- {name: other, plugins: [{pluginRef: kv}]}\n",
		"of no profile":   "schedulingProfiles:\n- {name: decode, plugins: [{pluginRef: queue-scorer}]}\n",
	} {
		c := load(t, preciseScorer+profiles)
		kv, ok := c.Plugins[0].Plugin.(*scorer.PrecisePrefixCache)
		if !ok {
			t.Fatalf("%s: the plugin is a %T", name, c.Plugins[0].Plugin)
		}
		if len(c.Followers) != 1 || c.Followers[0] != scheduling.Follower(kv) {
			t.Errorf("%s: %d followers, want the plugin, once", name, len(c.Followers))
		}
		if _, runs := c.Plugins[0].Plugin.(scheduling.Runner); !runs || len(c.Collectors()) == 0 {
			t.Errorf("%s: it does not run, or has none of its series", name)
		}
		looked, replaced := false, false
		c.Profiles[0].Filters = append([]scheduling.Filter{looking(func(cycle *scheduling.Cycle) { looked, replaced = true, cycle.Replaced() })}, c.Profiles[0].Filters...)
		_, err := schedule(t, c, func(cycle *scheduling.Cycle) { cycle.Tokens = &tokens.Prompt{IDs: make([]uint32, 64)} })
		if err != nil || !looked || !replaced {
			t.Errorf("%s: filters look %v, and see its matches %v, error %v", name, looked, replaced, err)
		}
	}
}

func TestWhatRequestsInFlightCountFor(t *testing.T) {
	request := &body.Request{}
	for text, want := range map[string]int64{
		"plugins: [{type: queue-scorer}]":                                                                                                        0,
		"plugins: [{type: queue-scorer}, {type: inflight-load-producer}]":                                                                        0,
		"plugins: [{type: inflight-load-producer, parameters: {addEstimatedOutputTokens: true}}]":                                                150,
		"plugins: [{type: inflight-load-producer, parameters: {addEstimatedOutputTokens: true, outputRatio: 3, maxEstimatedOutputTokens: 200}}]": 200,
	} {
		c := load(t, text+"\n")
		if got := c.InFlight.Output(request, 100); got != want || len(c.Warnings) > 0 {
			t.Errorf("%s: %d tokens, want %d, warnings %q", text, got, want, c.Warnings)
		}
	}
	if c := Default(); c.InFlight.Output(request, 100) != 0 {
		t.Error("answers count by default")
	}
}

package kvindex_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/kvevents"
	"github.com/switchyard/switchyard/epp/kvindex"
)

// copied says that blocks of a conversation are in another tier, too, as vLLM's offloading connector says it.
func copied(medium string, hashes ...uint64) kvevents.Event {
	return kvevents.Event{Kind: kvevents.Stored, Hashes: hashes, Medium: medium, Group: -1}
}

// long is the event of blocks of twice the length, which the engine names as it names the second half of each.
func long(conversation uint32, blocks, group int) kvevents.Event {
	e := kvevents.Event{Kind: kvevents.Stored, BlockSize: 2 * size, Tokens: ids(conversation, 2*blocks), Group: group}
	for i := range blocks {
		e.Hashes = append(e.Hashes, uint64(conversation)*100+uint64(2*i+1))
	}
	return e
}

func of(group int, e kvevents.Event) kvevents.Event {
	e.Group = group
	return e
}

func TestKindsThatCount(t *testing.T) {
	for kind, want := range map[string]int32{"": 2, "full_attention": 2, "mla_attention": 2, "sink_full_attention": 2, "sliding_window": 0,
		"sliding_window_mla": 0, "chunked_local_attention": 0, "mamba": 0, "new": 0} {
		x := newIndex(t, kvindex.Options{})
		e := stored(1, 0, 2)
		e.Spec = kind
		x.NewServer().Apply([]kvevents.Event{e})
		if got := held(x, 1, 2)[0].Blocks; got != want {
			t.Errorf("%q: %d blocks, want %d", kind, got, want)
		}
	}
}

func TestBlocksOfAnotherSize(t *testing.T) {
	for name, test := range map[string]struct {
		events   []kvevents.Event
		one, two int32 // blocks of two conversations
	}{
		"what is known stays":              {[]kvevents.Event{of(0, stored(1, 0, 4)), long(2, 2, 1)}, 4, 0},
		"longer ones first":                {[]kvevents.Event{long(2, 2, 1), of(0, stored(1, 0, 4))}, 0, 4},
		"no multiple":                      {[]kvevents.Event{of(0, stored(1, 0, 4)), {Kind: kvevents.Stored, BlockSize: 3, Hashes: []uint64{103}, Tokens: []uint32{1, 2, 3}, Group: 1}, of(1, removed("", 103))}, 4, 0},
		"their removals are theirs":        {[]kvevents.Event{of(0, stored(1, 0, 4)), long(1, 2, 1), of(1, removed("", 101, 103))}, 4, 0},
		"those of the others count":        {[]kvevents.Event{of(0, stored(1, 0, 4)), long(1, 2, 1), of(0, removed("", 103))}, 3, 0},
		"a group that has blocks":          {[]kvevents.Event{of(0, stored(1, 0, 4)), long(2, 2, 0), of(0, removed("", 103))}, 3, 0},
		"what follows is of the first":     {[]kvevents.Event{of(0, stored(1, 0, 2)), long(1, 1, 1), of(0, stored(1, 2, 4))}, 4, 0},
		"all forgotten, another size":      {[]kvevents.Event{of(0, stored(1, 0, 4)), long(1, 2, 1), {Kind: kvevents.Cleared}, long(2, 2, 1)}, 0, 4},
		"all forgotten, the other removes": {[]kvevents.Event{of(0, stored(1, 0, 4)), long(1, 2, 1), {Kind: kvevents.Cleared}, long(2, 2, 1), of(1, removed("", 203))}, 0, 2},
	} {
		for kind, o := range map[string]kvindex.Options{"": {}, " within a budget": {Bytes: kvindex.MinBytes}} {
			x := newIndex(t, o)
			x.NewServer().Apply(test.events)
			if one, two := held(x, 1, 4)[0].Blocks, held(x, 2, 4)[0].Blocks; one != test.one || two != test.two {
				t.Errorf("%s%s: %d and %d blocks, want %d and %d", name, kind, one, two, test.one, test.two)
			}
		}
	}
}

func TestCopiedBlocks(t *testing.T) {
	sized := copied("CPU", 100)
	sized.BlockSize = size
	window := of(1, stored(1, 0, 4))
	window.Spec = "sliding_window"
	for name, test := range map[string]struct {
		events  []kvevents.Event
		blocks  int32
		weight  float32
		skipped string
	}{
		"on both":                   {[]kvevents.Event{stored(1, 0, 4), copied("CPU", 100, 101)}, 4, 4, ""},
		"what is left on the host":  {[]kvevents.Event{stored(1, 0, 4), copied("CPU", 100, 101), removed("GPU", 100, 101, 102)}, 2, 1, ""},
		"gone from both":            {[]kvevents.Event{stored(1, 0, 4), copied("CPU", 100, 101), removed("GPU", 100, 101), removed("CPU", 101)}, 1, 0.5, ""},
		"a size is told":            {[]kvevents.Event{stored(1, 0, 1), sized, removed("GPU", 100)}, 1, 0.5, ""},
		"unknown ones are ignored":  {[]kvevents.Event{stored(1, 0, 2), copied("CPU", 999, 100, 101), removed("GPU", 100, 101)}, 2, 1, "tokens"},
		"all are unknown":           {[]kvevents.Event{copied("CPU", 100, 101)}, 0, 0, "tokens"},
		"nothing is known any more": {[]kvevents.Event{stored(1, 0, 2), {Kind: kvevents.Cleared}, copied("CPU", 100)}, 0, 0, "tokens"},
		"longer blocks":             {[]kvevents.Event{long(1, 2, -1), copied("CPU", 101), removed("", 101, 103)}, 2, 1, ""},
		"of a group that is passed over": {[]kvevents.Event{of(0, stored(1, 0, 4)), window, of(1, copied("CPU", 100)), of(0, removed("GPU", 100))}, 0, 0,
			"cache_kind"},
	} {
		for kind, bytes := range map[string]int64{"": 0, " within a budget": kvindex.MinBytes} {
			m := kvindex.NewMetrics(kvevents.NewMetrics())
			x := newIndex(t, kvindex.Options{Metrics: m, Bytes: bytes, Tiers: []kvindex.Tier{{Name: "gpu", Weight: 1}, {Name: "cpu", Weight: 0.5}}})
			x.NewServer().Apply(test.events)
			if got := match(x, keys(x, "", ids(1, 4)), time.Now())[0]; got.Blocks != test.blocks || got.Weight != test.weight {
				t.Errorf("%s%s: held %+v, want %d blocks of weight %g", name, kind, got, test.blocks, test.weight)
			}
			if n := skips(t, m)[[2]string{"", test.skipped}]; test.skipped != "" && n != 1 {
				t.Errorf("%s%s: counted %v, want one of %q", name, kind, skips(t, m), test.skipped)
			}
		}
	}
}

func TestWhatIsSkippedIsCounted(t *testing.T) {
	m := kvindex.NewMetrics(kvevents.NewMetrics())
	e := long(1, 2, 1)
	e.Spec = "sink_full_attention"
	newIndex(t, kvindex.Options{Metrics: m}).NewServer().Apply([]kvevents.Event{of(0, stored(1, 0, 4)), e})
	if got := skips(t, m); len(got) != 1 || got[[2]string{"sink_full_attention", "block_size"}] != 1 {
		t.Errorf("counted %v", got)
	}
}

// skips are the stores that were skipped, by kind of cache and reason.
func skips(t *testing.T, m *kvindex.Metrics) map[[2]string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[[2]string]float64{}
	for _, family := range families {
		if family.GetName() != "llm_d_epp_kv_cache_events_stores_skipped_total" {
			continue
		}
		for _, series := range family.GetMetric() {
			var at [2]string
			for _, label := range series.GetLabel() {
				if label.GetName() == "cache_kind" {
					at[0] = label.GetValue()
				} else {
					at[1] = label.GetValue()
				}
			}
			all[at] = series.GetCounter().GetValue()
		}
	}
	return all
}

package decider_test

import (
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/decider"
)

// cycleOf is a cycle over two candidates; the second holds some blocks of 64 tokens.
func cycleOf(t *testing.T, request *body.Request, blocks int) *scheduling.Cycle {
	t.Helper()
	pools := datalayer.New(datalayer.Options{})
	pools.Set("ns/pool", []datalayer.Spec{{Name: "a", Address: "10.0.0.1:1"}, {Name: "b", Address: "10.0.0.1:2"}})
	pool, _ := pools.Get("ns/pool")
	c := scheduling.NewCycle(request, pool.Endpoints(), time.Now())
	t.Cleanup(c.Release)
	c.BlockTokens = 64
	c.PrefixBlocks[1] = blocks
	return c
}

func TestPrefixBased(t *testing.T) {
	for name, test := range map[string]struct {
		parameters            string
		tokens, blocks, extra int // extra: bytes beyond the tokens
		decode                int
		want                  bool
	}{
		"by default never":               {``, 100000, 0, 0, 0, false},
		"0 is never":                     {`{"nonCachedTokens":0,"promptTokens":1}`, 100000, 0, 0, 0, false},
		"as many as asked for":           {`{"nonCachedTokens":512}`, 512, 0, 0, 0, true},
		"one less":                       {`{"nonCachedTokens":512}`, 511, 0, 3, 0, false},
		"the cached do not count":        {`{"nonCachedTokens":512}`, 512 + 640, 10, 0, 1, true},
		"the cached leave one less":      {`{"nonCachedTokens":512}`, 511 + 640, 10, 0, 1, false},
		"what another caches counts":     {`{"nonCachedTokens":512}`, 512, 8, 0, 0, true},
		"all cached":                     {`{"nonCachedTokens":1}`, 640, 10, 0, 1, false},
		"a prompt long enough":           {`{"nonCachedTokens":8,"promptTokens":1000}`, 1000, 0, 0, 0, true},
		"a prompt too short":             {`{"nonCachedTokens":8,"promptTokens":1000}`, 999, 0, 0, 0, false},
		"long enough, but mostly cached": {`{"nonCachedTokens":512,"promptTokens":1000}`, 1100, 10, 0, 1, false},
		"nobody decodes yet":             {`{"nonCachedTokens":1}`, 1000, 0, 0, -1, false},
		"producer named":                 {`{"nonCachedTokens":1,"prefixMatchInfoProducerName":"approx-prefix-cache-producer"}`, 1, 0, 0, 0, true},
	} {
		d, err := decider.NewPrefixBased([]byte(test.parameters))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c := cycleOf(t, &body.Request{PromptBytes: 4*test.tokens + test.extra}, test.blocks)
		if got := d.Disaggregate(c, test.decode); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestPrefixBasedTakesTheAnnouncedSizeOfABodyCutShort(t *testing.T) {
	d, err := decider.NewPrefixBased([]byte(`{"nonCachedTokens":1000}`))
	if err != nil {
		t.Fatal(err)
	}
	c := cycleOf(t, &body.Request{PromptBytes: 100, Truncated: true}, 0)
	c.BodyBytes = 4000
	if !d.Disaggregate(c, 0) {
		t.Error("a body of 4000 bytes is not taken to be 1000 tokens")
	}
}

// TestPrefixBasedReadsTheSourceThatItNames has two sources that do not agree.
func TestPrefixBasedReadsTheSourceThatItNames(t *testing.T) {
	for producer, want := range map[string]bool{"": true, scheduling.PrecisePrefixProducer: true, scheduling.ApproximatePrefixProducer: false} {
		d, err := decider.NewPrefixBased([]byte(`{"nonCachedTokens":512,"prefixMatchInfoProducerName":"` + producer + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		c := cycleOf(t, &body.Request{PromptBytes: 4 * 1000}, 15) // 960 tokens
		c.ReplacePrefix(16)
		c.PrefixBlocks[1] = 20 // 320 tokens
		if got := d.Disaggregate(c, 1); got != want {
			t.Errorf("producer %q: %v, want %v", producer, got, want)
		}
	}
}

func TestBadParameters(t *testing.T) {
	for parameters, field := range map[string]string{
		`{"nonCachedTokens":-1}`: "nonCachedTokens", `{"promptTokens":-1}`: "promptTokens", `{"nonCachedTokens":1.5}`: "nonCachedTokens",
		`{"tokens":1}`: "tokens", `{"prefixMatchInfoProducerName":"x"}`: "prefixMatchInfoProducerName",
	} {
		if _, err := decider.NewPrefixBased([]byte(parameters)); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v does not name %s", parameters, err, field)
		}
	}
	if _, err := decider.NewAlwaysPD([]byte(`{"x":1}`)); err == nil {
		t.Error("always-disagg-pd-decider accepts an unknown parameter")
	}
	if _, err := decider.NewAlwaysMultimodal([]byte(`{"x":1}`)); err == nil {
		t.Error("always-disagg-multimodal-decider accepts an unknown parameter")
	}
}

func TestAlways(t *testing.T) {
	pd, err := decider.NewAlwaysPD(nil)
	if err != nil {
		t.Fatal(err)
	}
	multimodal, err := decider.NewAlwaysMultimodal(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, media := range []bool{false, true} {
		c := cycleOf(t, &body.Request{Multimodal: media}, 0)
		if !pd.Disaggregate(c, -1) || !pd.Disaggregate(c, 1) {
			t.Error("always-disagg-pd-decider says no")
		}
		if got := multimodal.Disaggregate(c, -1); got != media {
			t.Errorf("always-disagg-multimodal-decider says %v to a request with media: %v", got, media)
		}
	}
}

package producer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/producer"
)

func newInFlightLoad(t *testing.T, parameters string) producer.InFlightLoad {
	t.Helper()
	load, err := producer.NewInFlightLoad([]byte(parameters))
	if err != nil {
		t.Fatal(err)
	}
	return load
}

func TestInFlightOutput(t *testing.T) {
	for name, test := range map[string]struct {
		parameters string
		request    body.Request
		prompt     int
		want       int64
	}{
		"not asked for":             {``, body.Request{}, 1000, 0},
		"a ratio alone asks not":    {`{"outputRatio":2}`, body.Request{}, 1000, 0},
		"the usual ratio":           {`{"addEstimatedOutputTokens":true}`, body.Request{}, 1000, 1500},
		"parts of a token":          {`{"addEstimatedOutputTokens":true}`, body.Request{}, 3, 4},
		"a ratio of its own":        {`{"addEstimatedOutputTokens":true,"outputRatio":0.25}`, body.Request{}, 1000, 250},
		"nothing":                   {`{"addEstimatedOutputTokens":true,"outputRatio":0}`, body.Request{}, 1000, 0},
		"bounded":                   {`{"addEstimatedOutputTokens":true,"maxEstimatedOutputTokens":700}`, body.Request{}, 1000, 700},
		"below the bound":           {`{"addEstimatedOutputTokens":true,"maxEstimatedOutputTokens":700}`, body.Request{}, 100, 150},
		"no bound":                  {`{"addEstimatedOutputTokens":true,"maxEstimatedOutputTokens":0}`, body.Request{}, 1000, 1500},
		"bounded by the client":     {`{"addEstimatedOutputTokens":true}`, body.Request{MaxTokens: 16}, 1000, 16},
		"a generous client":         {`{"addEstimatedOutputTokens":true}`, body.Request{MaxTokens: 9000}, 1000, 1500},
		"the lower bound counts":    {`{"addEstimatedOutputTokens":true,"maxEstimatedOutputTokens":700}`, body.Request{MaxTokens: 800}, 1000, 700},
		"the client's is the lower": {`{"addEstimatedOutputTokens":true,"maxEstimatedOutputTokens":700}`, body.Request{MaxTokens: 600}, 1000, 600},
		"embeddings have none":      {`{"addEstimatedOutputTokens":true}`, body.Request{API: body.Embeddings}, 1000, 0},
		"counting has none":         {`{"addEstimatedOutputTokens":true}`, body.Request{API: body.CountTokens}, 1000, 0},
		"a prompt beyond all":       {`{"addEstimatedOutputTokens":true,"outputRatio":1000}`, body.Request{}, 1 << 60, 1 << 40},
	} {
		if got := newInFlightLoad(t, test.parameters).Output(&test.request, test.prompt); got != test.want {
			t.Errorf("%s: %d tokens, want %d", name, got, test.want)
		}
	}
}

func TestInFlightPrompt(t *testing.T) {
	pools := datalayer.New(datalayer.Options{})
	pools.Set(pool, []datalayer.Spec{{Name: "a", Address: "10.0.0.1:1"}, {Name: "b", Address: "10.0.0.2:1"}})
	at, _ := pools.Get(pool)
	for name, test := range map[string]struct {
		parameters string
		replaced   bool
		want       [2]int64
	}{
		"what is held does not count":  {``, false, [2]int64{1000 - 5*64, 1000}},
		"a better source":              {``, true, [2]int64{1000, 1000 - 7*16}},
		"the source named":             {`{"prefixMatchInfoProducerName":"precise-prefix-cache-producer"}`, true, [2]int64{1000, 1000 - 7*16}},
		"the approximate one, named":   {`{"prefixMatchInfoProducerName":"approx-prefix-cache-producer"}`, true, [2]int64{1000 - 5*64, 1000}},
		"tokens that nobody knows yet": {`{"prefixMatchInfoProducerName":"precise-prefix-cache-producer"}`, false, [2]int64{1000 - 5*64, 1000}},
	} {
		c := scheduling.NewCycle(&body.Request{}, at.Endpoints(), time.Now())
		c.BlockTokens, c.PrefixBlocks[0] = 64, 5
		if test.replaced {
			c.ReplacePrefix(16)
			c.PrefixBlocks[1] = 7
		}
		load := newInFlightLoad(t, test.parameters)
		if got := [2]int64{load.Prompt(c, 0, 1000), load.Prompt(c, 1, 1000)}; got != test.want {
			t.Errorf("%s: %v tokens, want %v", name, got, test.want)
		}
		if got := load.Prompt(c, 0, 1); got < 0 || got > 1 {
			t.Errorf("%s: %d tokens of 1", name, got)
		}
		c.Release()
	}
}

func TestInFlightParameters(t *testing.T) {
	for parameters, want := range map[string]string{
		`{"outputRatio":-1}`:                                       "outputRatio: -1 is not between 0 and 1000",
		`{"outputRatio":1001}`:                                     "outputRatio: 1001",
		`{"maxEstimatedOutputTokens":-1}`:                          "maxEstimatedOutputTokens: -1 is below 0",
		`{"prefixMatchInfoProducerName":"inflight-load-producer"}`: "prefixMatchInfoProducerName",
		`{"addEstimatedOutput":true}`:                              "addEstimatedOutput",
		`{"addEstimatedOutputTokens":1}`:                           "addEstimatedOutputTokens",
	} {
		if _, err := producer.NewInFlightLoad([]byte(parameters)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one about %s", parameters, err, want)
		}
	}
	for parameters, want := range map[string]bool{``: false, `{"syncCrossReplicaState":false}`: false, `{"syncCrossReplicaState":true}`: true} {
		if got := newInFlightLoad(t, parameters).Shared(); got != want {
			t.Errorf("%s: shared %v", parameters, got)
		}
	}
}

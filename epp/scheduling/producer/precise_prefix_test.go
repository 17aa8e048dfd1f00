package producer_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/kvevents/kveventstest"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/producer"
	"github.com/switchyard/switchyard/epp/scheduling/scorer"
	"github.com/switchyard/switchyard/epp/tokens"
)

const pool = "ns/pool"

// prompt are the tokens of n blocks of 4.
func prompt(n int) []int {
	list := make([]int, 4*n)
	for i := range list {
		list[i] = 1000 + i
	}
	return list
}

func promptIDs(n int) []uint32 {
	var list []uint32
	for _, id := range prompt(n) {
		list = append(list, uint32(id))
	}
	return list
}

// fleet is two engines on one port of two addresses, and a pool of both.
func fleet(t *testing.T, replay bool) (pools *datalayer.Pools, engines []*kveventstest.Engine, port string) {
	t.Helper()
	engines = append(engines, kveventstest.Listen(t, "127.0.0.1:0", "a", replay))
	_, port, _ = net.SplitHostPort(engines[0].Address())
	engines = append(engines, kveventstest.Listen(t, "127.0.0.2:"+port, "b", replay))
	pools = datalayer.New(datalayer.Options{})
	pools.Set(pool, []datalayer.Spec{
		{Name: "a-rank-0", Namespace: "ns", Pod: "a", Address: "127.0.0.1:8000", Labels: map[string]string{"kv": "yes"}},
		{Name: "b-rank-0", Namespace: "ns", Pod: "b", Address: "127.0.0.2:8000"},
	})
	return pools, engines, port
}

func newPrecise(t *testing.T, port, more string) *producer.PrecisePrefix {
	t.Helper()
	p, err := producer.NewPrecisePrefix([]byte(`{"tokenProcessorConfig":{"blockSizeTokens":4},"kvEventsConfig":{"podDiscoveryConfig":{"socketPort":` + port + `}}` + more + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func runPlugin(t *testing.T, r scheduling.Runner, pools *datalayer.Pools) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, pools) }()
	stopped := false
	stop = func() {
		cancel()
		if !stopped {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		stopped = true
	}
	t.Cleanup(stop)
	return stop
}

// decide has a cycle of a prompt of n blocks, with an approximate match of 5 of 6 blocks at the first endpoint.
func decide(t *testing.T, pools *datalayer.Pools, p *producer.PrecisePrefix, n int, f func(*scheduling.Cycle)) {
	t.Helper()
	decideAt(t, time.Now(), pools, p, n, f)
}

func decideAt(t *testing.T, now time.Time, pools *datalayer.Pools, p *producer.PrecisePrefix, n int, f func(*scheduling.Cycle)) {
	t.Helper()
	at, _ := pools.Get(pool)
	c := scheduling.NewCycle(&body.Request{Model: "model"}, at.Endpoints(), now)
	defer c.Release()
	c.Pool = pool
	c.Keys, c.BlockTokens, c.PrefixBlocks[0] = append(c.Keys, 1, 2, 3, 4, 5, 6), 64, 5
	if n > 0 {
		c.Tokens = &tokens.Prompt{IDs: promptIDs(n)}
	}
	p.Produce(c)
	f(c)
}

func blocks(t *testing.T, pools *datalayer.Pools, p *producer.PrecisePrefix, n int) (got []int) {
	decide(t, pools, p, n, func(c *scheduling.Cycle) { got = slices.Clone(c.PrefixBlocks) })
	return got
}

func awaitBlocks(t *testing.T, pools *datalayer.Pools, p *producer.PrecisePrefix, want ...int) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		got := blocks(t, pools, p, 8)
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("blocks %v, want %v", got, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestPreciseFollowsTheServers(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	pools, engines, port := fleet(t, false)
	p := newPrecise(t, port, "")
	stop := runPlugin(t, p, pools)
	for _, e := range engines {
		e.AwaitSubscribers(1)
	}
	engines[0].Publish(kveventstest.Stored([]uint64{1, 2, 3}, nil, prompt(3), 4))
	engines[1].Publish(kveventstest.Stored([]uint64{7, 8}, nil, prompt(2), 4))
	engines[1].Publish(kveventstest.Stored([]uint64{9, 10, 11}, 8, prompt(5)[8:], 4))
	awaitBlocks(t, pools, p, 3, 5)
	engines[1].Publish(kveventstest.Removed(8))
	awaitBlocks(t, pools, p, 3, 1)

	// A server that goes takes its blocks along, and comes back empty.
	at, _ := pools.Get(pool)
	specs := []datalayer.Spec{{Name: "b-rank-0", Namespace: "ns", Pod: "b", Address: "127.0.0.2:8000"}}
	pools.Set(pool, specs)
	engines[0].AwaitSubscribers(0)
	deadline := time.Now().Add(10 * time.Second)
	for state := ""; !strings.Contains(state, `"servers":1,"blocks":4,`); {
		raw, err := p.DumpState()
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("error %v, state %s", err, raw)
		}
		state = string(raw)
	}
	pools.Set(pool, append(specs, datalayer.Spec{Name: "a-rank-0", Namespace: "ns", Pod: "a", Address: "127.0.0.1:8000"}))
	engines[0].AwaitSubscribers(1)
	awaitBlocks(t, pools, p, 0, 1)
	if len(at.Endpoints()) != 2 {
		t.Fatal("the pool has changed")
	}
	stop()
	for _, e := range engines {
		e.Close()
	}
}

func TestPreciseTakesThePlaceOfApproximate(t *testing.T) {
	pools, engines, port := fleet(t, false)
	p := newPrecise(t, port, "")
	runPlugin(t, p, pools)
	engines[1].AwaitSubscribers(1)
	engines[1].Publish(kveventstest.Stored([]uint64{1, 2, 3, 4}, nil, prompt(4), 4))
	awaitBlocks(t, pools, p, 0, 4)
	score := func(parameters string, n int) (out [2]float32) {
		s, err := scorer.NewPrefixCache([]byte(parameters))
		if err != nil {
			t.Fatal(err)
		}
		decide(t, pools, p, n, func(c *scheduling.Cycle) {
			s.Score(c, c.Indices(), out[:])
			if keys := c.Approximate().Keys; !slices.Equal(keys, []uint64{1, 2, 3, 4, 5, 6}) {
				t.Errorf("the approximate index is to learn %v", keys)
			}
		})
		return out
	}
	for _, test := range []struct {
		parameters string
		n          int
		want       [2]float32
	}{
		{``, 8, [2]float32{0, 0.5}},
		{`{"prefixMatchInfoProducerName":"precise-prefix-cache-producer"}`, 8, [2]float32{0, 0.5}},
		{`{"prefixMatchInfoProducerName":"approx-prefix-cache-producer"}`, 8, [2]float32{5.0 / 6, 0}},
		// Nobody told the tokens: all read the approximate index.
		{``, 0, [2]float32{5.0 / 6, 0}},
		{`{"prefixMatchInfoProducerName":"precise-prefix-cache-producer"}`, 0, [2]float32{5.0 / 6, 0}},
	} {
		if got := score(test.parameters, test.n); !near(got, test.want) {
			t.Errorf("%s with %d blocks: %v, want %v", test.parameters, test.n, got, test.want)
		}
	}
}

func near(a, b [2]float32) bool {
	for i := range a {
		if d := a[i] - b[i]; d > 1e-5 || d < -1e-5 {
			return false
		}
	}
	return true
}

func TestPreciseAssumesItsOwnPicks(t *testing.T) {
	pools, engines, port := fleet(t, false)
	for _, test := range []struct {
		more string
		want []int
	}{{``, []int{0, 0}}, {`,"speculativeIndexing":true`, []int{0, 8}}, {`,"speculativeIndexing":true,"speculativeTTL":"1ns"`, []int{0, 0}}} {
		p := newPrecise(t, port, test.more)
		stop := runPlugin(t, p, pools)
		engines[1].AwaitSubscribers(1)
		engines[1].Publish(kveventstest.Stored([]uint64{1}, nil, prompt(1), 4))
		awaitBlocks(t, pools, p, 0, 1) // it is known now
		engines[1].Publish(kveventstest.Removed(1))
		awaitBlocks(t, pools, p, 0, 0)
		decide(t, pools, p, 8, func(c *scheduling.Cycle) {
			if followed := p.Follow(c, []int{1}); followed != nil {
				t.Error("it wants to know more")
			}
		})
		decideAt(t, time.Now().Add(time.Second), pools, p, 8, func(c *scheduling.Cycle) {
			if !slices.Equal(c.PrefixBlocks, test.want) {
				t.Errorf("%s: %v, want %v", test.more, c.PrefixBlocks, test.want)
			}
		})
		stop()
		engines[1].AwaitSubscribers(0)
	}
}

func TestPreciseHandsItsIndexOn(t *testing.T) {
	pools, engines, port := fleet(t, false)
	first := newPrecise(t, port, "")
	stop := runPlugin(t, first, pools)
	engines[0].AwaitSubscribers(1)
	engines[0].Publish(kveventstest.Stored([]uint64{1, 2}, nil, prompt(2), 4))
	awaitBlocks(t, pools, first, 2, 0)
	stop()
	engines[0].AwaitSubscribers(0)
	second, other := newPrecise(t, port, ""), newPrecise(t, port, `,"speculativeIndexing":true`)
	other.TakeOver(first)
	if got := blocks(t, pools, other, 8); !slices.Equal(got, []int{0, 0}) {
		t.Errorf("with other parameters: %v", got)
	}
	second.TakeOver(first)
	runPlugin(t, second, pools)
	engines[0].AwaitSubscribers(1)
	engines[0].Publish(kveventstest.Stored([]uint64{3}, 2, prompt(3)[8:], 4))
	awaitBlocks(t, pools, second, 3, 0)
}

func TestPreciseSelectsPods(t *testing.T) {
	pools, engines, port := fleet(t, false)
	p, err := producer.NewPrecisePrefix([]byte(`{"kvEventsConfig":{"podDiscoveryConfig":{"socketPort":` + port + `,"podLabelSelector":"kv=yes"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	stop := runPlugin(t, p, pools)
	engines[0].AwaitSubscribers(1)
	engines[1].AwaitSubscribers(0)
	state, err := p.DumpState()
	if err != nil || !strings.Contains(string(state), `"servers":1,`) {
		t.Errorf("state %s, error %v", state, err)
	}
	stop()
}

func TestPreciseReplays(t *testing.T) {
	e := kveventstest.Listen(t, "127.0.0.1:0", "a", true)
	e.Lose(kveventstest.Stored([]uint64{1, 2}, nil, prompt(2), 4)) // before anybody listened
	_, port, _ := net.SplitHostPort(e.Address())
	_, replay, _ := net.SplitHostPort(e.Replay())
	pools := datalayer.New(datalayer.Options{})
	pools.Set(pool, []datalayer.Spec{{Name: "a-rank-0", Namespace: "ns", Pod: "a", Address: "127.0.0.1:8000"}})
	p, err := producer.NewPrecisePrefix([]byte(fmt.Sprintf(`{"tokenProcessorConfig":{"blockSizeTokens":4},
		"kvEventsConfig":{"podDiscoveryConfig":{"socketPort":%s,"replaySocketPort":%s}}}`, port, replay)))
	if err != nil {
		t.Fatal(err)
	}
	runPlugin(t, p, pools)
	awaitBlocks(t, pools, p, 2)
}

func TestPreciseOnOneEndpoint(t *testing.T) {
	e := kveventstest.Listen(t, "127.0.0.1:0", "b", false) // stands for all engines
	pools := datalayer.New(datalayer.Options{})
	pools.Set(pool, []datalayer.Spec{
		{Name: "a-rank-0", Namespace: "ns", Pod: "a", Address: "127.0.0.1:8000"},
		{Name: "b-rank-0", Namespace: "ns", Pod: "b", Address: "127.0.0.1:8001"},
	})
	p, err := producer.NewPrecisePrefix([]byte(`{"tokenProcessorConfig":{"blockSizeTokens":4},
		"kvEventsConfig":{"discoverPods":false,"zmqEndpoint":"tcp://` + e.Address() + `"}}`))
	if err != nil {
		t.Fatal(err)
	}
	runPlugin(t, p, pools)
	e.AwaitSubscribers(1)
	e.Publish(kveventstest.Stored([]uint64{1, 2}, nil, prompt(2), 4))
	deadline := time.Now().Add(10 * time.Second)
	for !slices.Equal(blocks(t, pools, p, 8), []int{0, 2}) && time.Now().Before(deadline) {
		e.Publish(kveventstest.Stored([]uint64{1, 2}, nil, prompt(2), 4)) // the pods may not have been known yet
		time.Sleep(5 * time.Millisecond)
	}
	awaitBlocks(t, pools, p, 0, 2)
}

func TestPreciseParameters(t *testing.T) {
	for parameters, wanted := range map[string]string{
		`{"indexerConfig":{"tokenizersPoolConfig":{"modelName":"m"}}}`:            "token-producer",
		`{"indexerConfig":{"kvBlockIndexConfig":{"inMemoryConfig":{"size":-1}}}}`: "size: -1",
		`{"indexerConfig":{"kvCacheBackendConfigs":[{"name":"gpu","weight":2}]}}`: "kvCacheBackendConfigs[0].weight",
		`{"indexerConfig":{"kvCacheBackendConfigs":[{"weight":1}]}}`:              "kvCacheBackendConfigs[0].name",
		`{"tokenProcessorConfig":{"hashAlgorithm":"sha256"}}`:                     "hashAlgorithm",
		`{"tokenProcessorConfig":{"blockSizeTokens":-16}}`:                        "blockSizeTokens: -16",
		`{"kvEventsConfig":{"discoverPods":false}}`:                               "zmqEndpoint",
		`{"kvEventsConfig":{"zmqEndpoint":"ipc:///x"}}`:                           "zmqEndpoint",
		`{"kvEventsConfig":{"engineType":"trt"}}`:                                 "engineType",
		`{"kvEventsConfig":{"podDiscoveryConfig":{"socketPort":0}}}`:              "socketPort",
		`{"kvEventsConfig":{"podDiscoveryConfig":{"replaySocketPort":70000}}}`:    "replaySocketPort",
		`{"kvEventsConfig":{"podDiscoveryConfig":{"podLabelSelector":"a in ("}}}`: "podLabelSelector",
		`{"speculativeTTL":"soon"}`:                                               "speculativeTTL",
		`{"speculativeTtl":"2s"}`:                                                 "speculativeTtl",
	} {
		if _, err := producer.NewPrecisePrefix([]byte(parameters)); err == nil || !strings.Contains(err.Error(), wanted) {
			t.Errorf("%s: error %v, want it to name %s", parameters, err, wanted)
		}
	}
	for _, parameters := range []string{``, `{"tokenProcessorConfig":{"blockSize":64},"kvEventsConfig":{"zmqEndpoint":"tcp://*:5557","discoverPods":false}}`,
		`{"indexerConfig":{"tokenProcessorConfig":{"hashAlgorithm":"xxhash"}}}`} {
		p, err := producer.NewPrecisePrefix([]byte(parameters))
		if err != nil {
			t.Errorf("%s: %v", parameters, err)
		} else if len(p.Collectors()) != 0 {
			t.Errorf("%s: metrics without being asked for", parameters)
		}
	}
	p, err := producer.NewPrecisePrefix([]byte(`{"indexerConfig":{"kvBlockIndexConfig":{"enableMetrics":true}}}`))
	if err != nil || len(p.Collectors()) == 0 {
		t.Errorf("no metrics, error %v", err)
	}
}

func TestTokenProducer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		if string(text) == `"slow"` {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, `[{"token_ids":[`+strconv.Itoa(len(text))+`]}]`)
	}))
	t.Cleanup(server.Close)
	p, err := producer.NewToken([]byte(`{"modelName":"m","vllm":{"url":"` + server.URL + `","timeout":"350ms","mmTimeout":"30s"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if !p.Tokenizes() || len(p.Collectors()) != 1 {
		t.Error("it does not tokenize, or is not measured")
	}
	for _, test := range []struct {
		name, body string
		request    body.Request
		want       []uint32
	}{
		{"whole", `{"x":1}`, body.Request{API: body.Completions}, []uint32{7}},
		{"cut short", `{"x":1}`, body.Request{API: body.Completions, Truncated: true}, nil},
		{"no body", ``, body.Request{API: body.Completions}, nil},
		{"another API", `{"x":1}`, body.Request{API: body.Embeddings}, nil},
		{"tokens in the body", `{"token_ids":[4,5]}`, body.Request{API: body.Generate}, []uint32{4, 5}},
		{"slow", `"slow"`, body.Request{API: body.Completions}, nil},
	} {
		c := scheduling.NewCycle(&test.request, nil, time.Now())
		c.Body = []byte(test.body)
		began := time.Now()
		p.Produce(c)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: took %s", test.name, took)
		}
		var got []uint32
		if c.Tokens != nil {
			got = c.Tokens.IDs
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: tokens %v, want %v", test.name, got, test.want)
		}
		c.Release()
	}
	rewritten := scheduling.NewCycle(&body.Request{API: body.Completions, Model: "m", ModelStart: 9, ModelEnd: 12}, nil, time.Now())
	defer rewritten.Release()
	rewritten.Body, rewritten.TargetModel = []byte(`{"model":"m","prompt":""}`), "other"
	p.Produce(rewritten)
	if want := uint32(len(`{"model":"other","prompt":""}`)); rewritten.Tokens == nil || rewritten.Tokens.IDs[0] != want {
		t.Errorf("of a rewritten request: %+v, want a body of %d bytes", rewritten.Tokens, want)
	}
	for parameters, tokenizes := range map[string]bool{``: false, `{"estimate":{"image":{}}}`: false, `{"modelName":"m"}`: true, `{"vllm":{}}`: true} {
		if p, err := producer.NewToken([]byte(parameters)); err != nil || p.Tokenizes() != tokenizes {
			t.Errorf("%s: error %v, tokenizes %v", parameters, err, !tokenizes)
		}
	}
	for parameters, wanted := range map[string]string{
		`{"udsTokenizerConfig":{"socketFile":"/x"}}`: "use vllm", `{"vllm":{"url":"x"}}`: "vllm.url", `{"vllm":{"timeout":"5"}}`: "vllm.timeout",
		`{"vllm":{},"estimate":{}}`: "give one", `{"vllm":{"clientCertPath":"x"}}`: "give both", `{"vllm":{"caCertPath":"/nowhere"}}`: "caCertPath",
	} {
		if _, err := producer.NewToken([]byte(parameters)); err == nil || !strings.Contains(err.Error(), wanted) {
			t.Errorf("%s: error %v, want it to say %q", parameters, err, wanted)
		}
	}
}

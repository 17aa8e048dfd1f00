package producer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"github.com/switchyard/switchyard/epp/kvevents/kveventstest"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/producer"
)

// sharing is a replica over a database. Its requests name the model that the topics of the events name.
func sharing(t *testing.T, database, events string) *producer.PrecisePrefix {
	t.Helper()
	p, err := producer.NewPrecisePrefix([]byte(`{"tokenProcessorConfig":{"blockSizeTokens":4},"indexerConfig":{"kvBlockIndexConfig":
		{"valkeyConfig":{"address":"valkey://` + database + `","backendType":"valkey"},"enableMetrics":true,"metricsLoggingInterval":60000000000}},
		"kvEventsConfig":` + events + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPreciseReplicasShareAnIndex has one replica hear the engines and another see what they hold.
func TestPreciseReplicasShareAnIndex(t *testing.T) {
	before := goleak.IgnoreCurrent()
	defer func() { // an attempt of the client to connect ends up to a second after the client was closed
		err := goleak.Find(before)
		for deadline := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(deadline); {
			err = goleak.Find(before)
		}
		if err != nil {
			t.Error(err)
		}
	}()
	db := miniredis.RunT(t)
	defer db.Close()
	pools, engines, port := fleet(t, false)
	hearing := sharing(t, db.Addr(), `{"podDiscoveryConfig":{"socketPort":`+port+`}}`)
	deaf := sharing(t, db.Addr(), `{"discoverPods":false,"zmqEndpoint":"tcp://127.0.0.1:0"}`)
	stopHearing, stopDeaf := runPlugin(t, hearing, pools), runPlugin(t, deaf, pools)
	defer func() {
		stopHearing()
		stopDeaf()
		for _, e := range engines {
			e.Close()
		}
	}()
	for _, e := range engines {
		e.AwaitSubscribers(1)
	}
	engines[0].Publish(kveventstest.Stored([]uint64{1, 2, 3}, nil, prompt(3), 4))
	engines[1].Publish(kveventstest.Stored([]uint64{1, 2}, nil, prompt(2), 4))
	engines[1].Publish(kveventstest.Stored([]uint64{4, 5, 6}, 2, prompt(5)[8:], 4))
	for _, p := range []*producer.PrecisePrefix{hearing, deaf} {
		awaitBlocks(t, pools, p, 3, 5)
	}
	engines[1].Publish(kveventstest.Removed(2))
	awaitBlocks(t, pools, deaf, 3, 1)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		state, err := deaf.DumpState()
		if err == nil && strings.Contains(string(state), `"shared":{"answers":true,"waiting":0}`) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("state %s, error %v", state, err)
		}
	}
	if n := len(deaf.Collectors()); n == 0 {
		t.Error("no metrics")
	}

	// A new configuration goes on with the same connections; one that begins anew sees what is there.
	stopHearing()
	next, late := sharing(t, db.Addr(), `{"podDiscoveryConfig":{"socketPort":`+port+`}}`), sharing(t, db.Addr(), `{"podDiscoveryConfig":{"socketPort":1}}`)
	next.TakeOver(hearing)
	stopNext, stopLate := runPlugin(t, next, pools), runPlugin(t, late, pools)
	defer func() { stopNext(); stopLate() }()
	awaitBlocks(t, pools, late, 3, 1)
	awaitBlocks(t, pools, next, 3, 1)

	// Another model has the same tokens.
	decide(t, pools, late, 8, func(c *scheduling.Cycle) {
		c.TargetModel = "other"
		late.Produce(c)
		if !slices.Equal(c.PrefixBlocks, []int{0, 0}) {
			t.Errorf("of another model: %v", c.PrefixBlocks)
		}
	})

	// Without the database picks go on.
	db.Close()
	for range 5 {
		if got := blocks(t, pools, late, 8); !slices.Equal(got, []int{0, 0}) {
			t.Errorf("blocks %v without the database", got)
		}
	}
}

func TestPreciseIndexParameters(t *testing.T) {
	index := func(text string) string { return `{"indexerConfig":{"kvBlockIndexConfig":{` + text + `}}}` }
	for text, wanted := range map[string]string{
		`"redisConfig":{"address":"redis://u:hush@h:1/x"}`:       "redisConfig.address: it cannot be read",
		`"valkeyConfig":{"address":"http://h"}`:                  "valkeyConfig.address",
		`"valkeyConfig":{"enableRDMA":true}`:                     "valkeyConfig.enableRDMA: not supported",
		`"redisConfig":{"backendType":"memcached"}`:              `redisConfig.backendType: "memcached" must be redis or valkey`,
		`"redisConfig":{"adress":"h"}`:                           "adress",
		`"costAwareMemoryConfig":{"size":"much"}`:                `costAwareMemoryConfig.size: "much"`,
		`"costAwareMemoryConfig":{"size":"1MiB"}`:                "less than 16 MiB",
		`"costAwareMemoryConfig":{"size":5}`:                     "size",
		`"costAwareMemoryConfig":{"numCounters":-1}`:             "numCounters: -1",
		`"metricsLoggingInterval":"often"`:                       "metricsLoggingInterval",
		`"inMemoryConfig":{"size":"2GiB"}`:                       "size",
		`"redisConfig":{"address":"redis://u:hush@h:1?db=much"}`: "redisConfig.address",
	} {
		_, err := producer.NewPrecisePrefix([]byte(index(text)))
		if err == nil || !strings.Contains(err.Error(), wanted) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: error %v, want it to name %s", text, err, wanted)
		}
	}
	for _, text := range []string{`"costAwareMemoryConfig":{}`, `"costAwareMemoryConfig":{"size":"500MiB","numCounters":1000}`, `"redisConfig":{}`,
		`"valkeyConfig":{"address":"valkeys://u:p@h:1/2","enableRDMA":false}`, `"redisConfig":null`, `"inMemoryConfig":{"size":5,"podCacheSize":10}`,
		`"metricsLoggingInterval":"1m0s"`, `"metricsLoggingInterval":60000000000`} {
		if _, err := producer.NewPrecisePrefix([]byte(index(text))); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{`{"indexerConfig":{"tokenizersPoolConfig":{"uds":{"socketFile":"/x"}}}}`, `{"indexerConfig":{"prefixStoreConfig":{}}}`} {
		if _, err := producer.NewPrecisePrefix([]byte(text)); err == nil || !strings.Contains(err.Error(), "declare a token-producer with vllm") {
			t.Errorf("%s: error %v does not say what to use", text, err)
		}
	}
}

// TestPreciseWithinBytes has the cost-aware index do what the other does.
func TestPreciseWithinBytes(t *testing.T) {
	pools, engines, port := fleet(t, false)
	p := newPrecise(t, port, `,"indexerConfig":{"kvBlockIndexConfig":{"costAwareMemoryConfig":{"size":"16MiB"}}}`)
	runPlugin(t, p, pools)
	engines[0].AwaitSubscribers(1)
	for i := range uint64(40) { // far more than there is room for, and then what is asked for
		list := make([]int, 4*5000)
		for at := range list {
			list[at] = int(i)*1_000_000 + at
		}
		hashes := make([]uint64, 5000)
		for at := range hashes {
			hashes[at] = 1_000_000*(i+1) + uint64(at)
		}
		engines[0].Publish(kveventstest.Stored(hashes, nil, list, 4))
	}
	engines[0].Publish(kveventstest.Stored([]uint64{1, 2, 3}, nil, prompt(3), 4))
	awaitBlocks(t, pools, p, 3, 0)
	var entries int
	state, err := p.DumpState()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(state[strings.Index(string(state), `"entries":`):]), `"entries":%d`, &entries); err != nil || entries < 30_000 || entries > 100_000 {
		t.Errorf("state %s, error %v", state, err)
	}
}

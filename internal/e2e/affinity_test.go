package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/internal/sim"
	"github.com/switchyard/switchyard/internal/stack"
)

// randomPicker picks any endpoint.
const randomPicker = `
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: random-picker
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: random-picker
`

// The workload: each group is a conversation over a long document of its own. A server's cache has room for
// about a third of the groups, one group more than its share. All conversations begin while the earlier ones
// are still being answered, then go on a few at a time.
const (
	affinityServers      = 4
	affinityGroups       = 12
	affinityTurns        = 25
	affinityPromptTokens = 4000
	affinityCacheBlocks  = 1150 // of 16 tokens
	affinityClients      = 4    // conversations that go on at the same time
	affinityFirstAnswer  = 500  // tokens
	affinityNextAnswer   = 8    // tokens
)

// affinitySim answers soon, but not at once: the first answers last for about a second.
var affinitySim = []string{"--prefill-tokens-per-second", "1e9", "--first-token", "1ms", "--inter-token", "2ms",
	"--cache-blocks", strconv.Itoa(affinityCacheBlocks)}

func TestPrefixAffinity(t *testing.T) {
	w := affinityWorld(t, stack.Options{})
	homes := converse(t, w)
	rate := hitRate(t, w)
	t.Logf("hit rate %.3f", rate)
	if rate <= 0.9 {
		t.Errorf("hit rate %.3f, want more than 0.9", rate)
	}
	// Different prompts spread.
	used := map[string]int{}
	for _, servers := range homes {
		used[servers[len(servers)-1]]++
	}
	for name := range w.sims {
		if used[name] == 0 || used[name] > affinityGroups/2 {
			t.Errorf("%d of %d conversations ended up on %s", used[name], affinityGroups, name)
		}
	}
}

// TestPrefixAffinityMatters checks that the workload is one on which picking at random fails, or
// TestPrefixAffinity would not say anything.
func TestPrefixAffinityMatters(t *testing.T) {
	cfg, err := config.Load([]byte(randomPicker))
	if err != nil {
		t.Fatal(err)
	}
	w := affinityWorld(t, stack.Options{PickerConfig: cfg})
	converse(t, w)
	rate := hitRate(t, w)
	t.Logf("hit rate %.3f at random", rate)
	if rate >= 0.4 {
		t.Errorf("hit rate %.3f at random, want less than 0.4", rate)
	}
}

func affinityWorld(t *testing.T, opts stack.Options) *world {
	t.Helper()
	return newWorld(t, gateway+poolRoute("llm")+pool("llm", "sim")+
		simPods("sim", 1, affinityServers, affinitySim...),
		worldOptions{stack: opts, proxies: 2})
}

// conversation is one group's messages so far, and the server of each turn.
type conversation struct {
	mu       sync.Mutex
	messages []map[string]string
	servers  []string
}

func (c *conversation) add(role, content string) {
	c.messages = append(c.messages, map[string]string{"role": role, "content": content})
}

// take sends the next turn: the whole conversation so far, and a question.
func (c *conversation) take(t *testing.T, w *world, client *http.Client, maxTokens int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add("user", fmt.Sprintf("Question %d?", len(c.servers)+1))
	body, err := json.Marshal(map[string]any{"model": "sim-model", "messages": c.messages, "max_tokens": maxTokens})
	if err != nil {
		t.Error(err)
		return
	}
	r, err := send(client, http.MethodPost, w.url("/v1/chat/completions"), string(body))
	var said completion
	if err != nil || r.status != http.StatusOK || json.Unmarshal([]byte(r.body), &said) != nil || len(said.Choices) == 0 {
		t.Errorf("turn %d: %v, status %d %s", len(c.servers)+1, err, r.status, r.body)
		return
	}
	c.add("assistant", said.Choices[0].Message.Content)
	c.servers = append(c.servers, r.server())
}

// converse takes all turns of all groups, some of them at the same time, and gives the servers of each
// group's turns.
func converse(t *testing.T, w *world) [][]string {
	t.Helper()
	groups := make([]*conversation, affinityGroups)
	for g := range groups {
		groups[g] = &conversation{}
		groups[g].add("system", longPrompt(fmt.Sprintf("document %d", g), affinityPromptTokens))
	}
	client := newKeepAliveClient(t)
	var first sync.WaitGroup
	for n, c := range groups {
		first.Go(func() { c.take(t, w, client, affinityFirstAnswer) })
		eventually(t, 5*time.Second, "the picker knows of the conversations so far", func() bool { return w.knownLoad(n + 1) })
	}
	first.Wait()
	next := make(chan *conversation)
	var clients sync.WaitGroup
	for range affinityClients {
		clients.Go(func() {
			for c := range next {
				c.take(t, w, client, affinityNextAnswer)
			}
		})
	}
	for range affinityTurns - 1 {
		for _, c := range groups {
			next <- c
		}
	}
	close(next)
	clients.Wait()
	if t.Failed() {
		t.FailNow()
	}
	var out [][]string
	for _, c := range groups {
		out = append(out, c.servers)
	}
	return out
}

// knownLoad tells whether the model servers have got so many requests, and have told the embedded picker of
// all that they still work on.
func (w *world) knownLoad(requests int) bool {
	var got, load, known int
	for _, s := range w.sims {
		stats := s.Stats()
		got += int(stats.Requests)
		load += stats.Running + stats.Waiting
	}
	for _, p := range w.stack.Pools.List() {
		for _, e := range p.Endpoints() {
			known += e.Metrics().Running + e.Metrics().Waiting
		}
	}
	return got == requests && known == load
}

// hitRate is the share of prompt tokens that the simulators found cached. Their metrics pages must agree.
func hitRate(t *testing.T, w *world) float64 {
	t.Helper()
	var sum sim.Stats
	for name, s := range w.sims {
		stats := s.Stats()
		sum.PrefixQueries += stats.PrefixQueries
		sum.PrefixHits += stats.PrefixHits
		page, err := send(newClient(), http.MethodGet, "http://"+w.simAddress(name)+"/metrics", "")
		if err != nil {
			t.Fatal(err)
		}
		if got := metricValue(t, page.body, "vllm:prefix_cache_hits_total"); int64(got) != stats.PrefixHits {
			t.Errorf("%s: vllm:prefix_cache_hits_total is %v, the simulator counted %d", name, got, stats.PrefixHits)
		}
	}
	return sum.HitRate()
}

// simAddress is host:port of the simulator of a pod named <app>-<n> whose address is $NET.<n>.
func (w *world) simAddress(pod string) string {
	n, err := strconv.Atoi(pod[strings.LastIndex(pod, "-")+1:])
	if err != nil {
		w.t.Fatal(err)
	}
	return w.podAddress(n)
}

// metricValue adds up the samples of a series on a Prometheus page, whatever their labels.
func metricValue(t *testing.T, page, name string) float64 {
	t.Helper()
	sum := 0.0
	for _, m := range regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+`(?:\{.*\})? (\S+)$`).FindAllStringSubmatch(page, -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatalf("sample %q: %v", m[0], err)
		}
		sum += v
	}
	return sum
}

package sim

import (
	"testing"
)

// TestPrefixHitsAreExact sends a crafted sequence and knows the outcome of each request to the token.
func TestPrefixHitsAreExact(t *testing.T) {
	r := start(t, Config{TimeScale: Instant})
	a40 := text('a', 40)
	steps := []struct {
		what           string
		prompt         string
		extra          []any
		tokens, cached int
	}{
		{"first sight", a40, nil, 40, 0},
		{"again: two full blocks of 16, not the 8 left over", a40, nil, 40, 32},
		{"longer: the answer's tokens are not these", a40 + text('b', 40), nil, 80, 32},
		{"longer again: five full blocks, but the last must be computed", a40 + text('b', 40), nil, 80, 64},
		{"one token more and the fifth counts", a40 + text('b', 40) + "c", nil, 81, 80},
		{"differs in the second block", text('a', 16) + text('d', 24), nil, 40, 16},
		{"differs in the first token: nothing, though the rest is alike", "x" + a40[1:], nil, 40, 0},
		{"shorter than a block", text('a', 15), nil, 15, 0},
		{"exactly a block: its last token must be computed", text('a', 16), nil, 16, 0},
		{"another salt", a40, []any{"cache_salt", "tenant-1"}, 40, 0},
		{"the same salt", a40, []any{"cache_salt", "tenant-1"}, 40, 32},
	}
	var queries, hits int64
	for _, s := range steps {
		tokens, cached, out := r.completion(s.prompt, 1, s.extra...)
		if tokens != s.tokens || cached != s.cached || out != 1 {
			t.Errorf("%s: %d tokens, %d cached, %d out; want %d, %d, 1", s.what, tokens, cached, out, s.tokens, s.cached)
		}
		queries += int64(s.tokens)
		hits += int64(s.cached)
	}
	if got := r.Stats(); got.PrefixQueries != queries || got.PrefixHits != hits {
		t.Errorf("counted %d queries and %d hits, want %d and %d", got.PrefixQueries, got.PrefixHits, queries, hits)
	}
	r.idle()
}

func TestAdaptersShareNothing(t *testing.T) {
	r := start(t, Config{TimeScale: Instant, LoRA: []string{"sql", "poems"}})
	prompt := text('a', 33)
	for _, s := range []struct {
		model  string
		cached int
	}{{"sql", 0}, {"sql", 32}, {"poems", 0}, {r.cfg.Model, 0}, {r.cfg.Model, 32}, {"poems", 32}} {
		if _, cached, _ := r.completion(prompt, 1, "model", s.model); cached != s.cached {
			t.Errorf("%s: %d cached, want %d", s.model, cached, s.cached)
		}
	}
}

// TestAnswersAreCached holds a conversation: the answer comes back in the next prompt and is found in the cache.
func TestAnswersAreCached(t *testing.T) {
	r := start(t, Config{TimeScale: Instant})
	messages := []object{{"role": "user", "content": text('q', 25)}}
	const header = 2 + 4 // <|user|> and <|assistant|> in tokens
	prompt := header + 25
	for turn, cached := range []int{0, 64, 112} {
		// 31 tokens in, 40 out: 71, four full blocks. Then 71+2+7+4 in, 40 out: 124, seven full blocks.
		got := r.do("POST", "/v1/chat/completions", encode(t, object{"model": r.cfg.Model, "messages": messages, "max_tokens": 40}))
		o := parse(t, got.body)
		p, c, out := usageOf(t, o)
		if p != prompt || c != cached || out != 40 {
			t.Errorf("turn %d: %d tokens, %d cached, %d out; want %d, %d, 40", turn, p, c, out, prompt, cached)
		}
		messages = append(messages,
			object{"role": "assistant", "content": at(t, o, "choices", 0, "message", "content")},
			object{"role": "user", "content": text('r', 7)})
		prompt += 40 + 2 + 7 + 4
	}
}

// TestEvictionIsLeastRecentlyUsed fills a cache of 8 blocks.
func TestEvictionIsLeastRecentlyUsed(t *testing.T) {
	r := start(t, Config{TimeScale: Instant, CacheBlocks: 8})
	ask := func(name byte, want int) {
		t.Helper()
		// 33 tokens and one out: three blocks, of which two stay cached.
		if _, cached, _ := r.completion(text(name, 33), 1); cached != want {
			t.Errorf("%c: %d cached, want %d (%+v)", name, cached, want, r.Stats())
		}
	}
	ask('a', 0)
	ask('b', 0)
	ask('c', 0)
	ask('a', 32) // six blocks are cached, and there is room for it: a is now the latest
	ask('d', 0)  // takes three: two were empty, one is the tail of b
	ask('c', 32)
	ask('b', 16) // its head was left; its tail comes back at the cost of d's or a's
	if s := r.Stats(); s.CachedBlocks > 8 || s.UsedBlocks != 0 {
		t.Errorf("blocks after all: %+v", s)
	}
	for _, name := range "efgh" {
		ask(byte(name), 0)
	}
	ask('a', 0)
	r.idle()
}

// TestRunningBlocksAreNotEvicted keeps one request running while others go through a cache that is too small.
func TestRunningBlocksAreNotEvicted(t *testing.T) {
	r := start(t, Config{CacheBlocks: 8, FirstToken: 1, InterToken: limit, PrefillTokensPerSecond: 1e9})
	hold := r.hold(text('a', 33), 2) // three blocks, for as long as the test wants
	for _, name := range "bcdef" {
		if _, cached, _ := r.completion(text(byte(name), 33), 1); cached != 0 {
			t.Errorf("%c: %d cached, want 0", name, cached)
		}
		if used := r.Stats().UsedBlocks; used < 3 {
			t.Fatalf("%d blocks in use while one request holds 3", used)
		}
	}
	if _, cached, _ := r.completion(text('a', 33), 1); cached != 32 {
		t.Errorf("%d cached of a prompt that is running, want 32", cached)
	}
	hold()
	r.idle()
}

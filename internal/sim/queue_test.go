package sim

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// hold starts a streamed completion, waits for its first event, and gives what ends it by hanging up.
func (r *running) hold(prompt string, maxTokens int, extra ...any) (hangUp func()) {
	r.t.Helper()
	_, hangUp = r.stream(prompt, maxTokens, extra...)
	return hangUp
}

// stream is hold that also gives the rest of the answer.
func (r *running) stream(prompt string, maxTokens int, extra ...any) (rest *bufio.Reader, hangUp func()) {
	r.t.Helper()
	ask := object{"model": r.cfg.Model, "prompt": prompt, "max_tokens": maxTokens, "stream": true}
	for i := 0; i+1 < len(extra); i += 2 {
		ask[extra[i].(string)] = extra[i+1]
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.t.Cleanup(cancel)
	resp := r.open(ctx, "POST", "/v1/completions", encode(r.t, ask))
	if resp.StatusCode != 200 {
		r.t.Fatalf("status %d", resp.StatusCode)
	}
	rest = bufio.NewReader(resp.Body)
	nextEvent(r.t, rest)
	return rest, func() {
		cancel()
		_ = resp.Body.Close()
	}
}

// park sends a completion that is expected to wait, and gives its status once it is answered, 0 if never.
func (r *running) park(ctx context.Context, prompt string, extra ...any) <-chan int {
	r.t.Helper()
	ask := object{"model": r.cfg.Model, "prompt": prompt, "max_tokens": 1}
	for i := 0; i+1 < len(extra); i += 2 {
		ask[extra[i].(string)] = extra[i+1]
	}
	req := r.request(ctx, "POST", "/v1/completions", encode(r.t, ask))
	status := make(chan int, 1)
	go func() {
		resp, err := r.client.Do(req)
		if err != nil {
			status <- 0
			return
		}
		_ = resp.Body.Close()
		status <- resp.StatusCode
	}()
	return status
}

// slow is a server whose requests of two tokens stay as long as the test.
func slow(cfg Config) Config {
	cfg.PrefillTokensPerSecond, cfg.FirstToken, cfg.InterToken = 1e9, 1, limit
	return cfg
}

func TestConcurrencyAndQueueAreBounded(t *testing.T) {
	r := start(t, slow(Config{MaxRunning: 2, MaxWaiting: 3}))
	first, second := r.hold("one", 2), r.hold("two", 2)
	var parked []<-chan int
	for _, prompt := range []string{"three", "four", "five"} {
		parked = append(parked, r.park(context.Background(), prompt))
		r.eventually("waits", func(s Stats) bool { return s.Waiting == len(parked) })
	}
	got := r.do("POST", "/v1/completions", encode(t, object{"model": r.cfg.Model, "prompt": "six", "max_tokens": 1}))
	if got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("beyond the queue: status %d, Retry-After %q; want 503 and a time", got.status, got.header.Get("Retry-After"))
	}
	if at(t, parse(t, got.body), "error", "message") == "" {
		t.Errorf("no message in %s", got.body)
	}
	if s := r.Stats(); s.Running != 2 || s.Waiting != 3 || s.Rejected != 1 {
		t.Errorf("%+v; want 2 running, 3 waiting, 1 rejected", s)
	}

	first() // its place is taken by the others, one after the other
	for i, status := range parked {
		if got := <-status; got != 200 {
			t.Errorf("waiting request %d: status %d", i, got)
		}
	}
	second()
	r.idle()
	if s := r.Stats(); s.Disconnects != 2 || s.Succeeded != 3 {
		t.Errorf("%+v; want 2 disconnects, 3 succeeded", s)
	}
}

func TestDisconnectFreesAtOnce(t *testing.T) {
	t.Run("while it decodes", func(t *testing.T) {
		r := start(t, slow(Config{}))
		hangUp := r.hold(text('a', 100), 50)
		if s := r.Stats(); s.Running != 1 || s.UsedBlocks != 7 {
			t.Fatalf("%+v; want 1 running on 7 blocks", s)
		}
		hangUp()
		r.idle()
		if s := r.Stats(); s.Disconnects != 1 || s.CachedBlocks != 6 {
			t.Errorf("%+v; want 1 disconnect, 6 blocks cached", s)
		}
	})
	t.Run("while it waits", func(t *testing.T) {
		r := start(t, slow(Config{MaxRunning: 1}))
		hangUp := r.hold("running", 2)
		ctx, cancel := context.WithCancel(context.Background())
		status := r.park(ctx, "waiting")
		r.eventually("waits", func(s Stats) bool { return s.Waiting == 1 })
		cancel()
		if got := <-status; got != 0 {
			t.Errorf("status %d", got)
		}
		r.eventually("left the queue", func(s Stats) bool { return s.Waiting == 0 && s.Disconnects == 1 })
		hangUp()
		r.idle()
	})
	t.Run("while it is prefilled: the prefill is free for the next, and nothing of it is cached", func(t *testing.T) {
		r := start(t, Config{PrefillTokensPerSecond: 1, FirstToken: 1, InterToken: 1, CacheBlocks: 1 << 16, TimeScale: 1e-3})
		ctx, cancel := context.WithCancel(context.Background())
		status := r.park(ctx, text('a', 100_000)) // 100 s
		r.eventually("runs", func(s Stats) bool { return s.Running == 1 })
		next := r.park(context.Background(), text('b', 20))
		r.eventually("waits", func(s Stats) bool { return s.Waiting == 1 })
		cancel()
		<-status
		select {
		case got := <-next:
			if got != 200 {
				t.Errorf("the next: status %d", got)
			}
		case <-time.After(limit):
			t.Error("the next still waits for a prefill that nobody wants")
		}
		if _, cached, _ := r.completion(text('a', 20), 1); cached != 0 {
			t.Errorf("%d tokens cached that were never computed", cached)
		}
		r.idle()
	})
}

// TestPrefillIsShared sends prompts together: the server computes them one after the other.
func TestPrefillIsShared(t *testing.T) {
	r := start(t, Config{PrefillTokensPerSecond: 10_000, FirstToken: 1, InterToken: 1})
	begun := time.Now()
	var all sync.WaitGroup
	for _, name := range "abcd" {
		status := r.park(context.Background(), text(byte(name), 1000)) // 100 ms each
		all.Go(func() { <-status })
	}
	all.Wait()
	if took := time.Since(begun); took < 390*time.Millisecond {
		t.Errorf("four prefills of 100 ms took %s together", took)
	}
}

func TestFirstTokenTakesTheUncachedTokens(t *testing.T) {
	r := start(t, Config{PrefillTokensPerSecond: 4000, FirstToken: 1, InterToken: 1})
	prompt := text('a', 2000)
	begun := time.Now()
	r.completion(prompt, 1)
	cold := time.Since(begun)
	begun = time.Now()
	r.completion(prompt+"b", 1) // 1 token is new
	warm := time.Since(begun)
	if cold < 500*time.Millisecond || warm > 400*time.Millisecond {
		t.Errorf("cold %s, warm %s; want 500 ms or more, and next to nothing", cold, warm)
	}
}

// TestCacheBoundsAdmission lets a request wait for blocks, and nobody overtake it.
func TestCacheBoundsAdmission(t *testing.T) {
	r := start(t, slow(Config{CacheBlocks: 10}))
	hangUp := r.hold(text('a', 60), 20) // 80 tokens: 4 blocks now, 5 promised
	large := r.park(context.Background(), text('b', 90))
	r.eventually("waits", func(s Stats) bool { return s.Waiting == 1 })
	small := r.park(context.Background(), text('c', 10))
	r.eventually("waits behind it", func(s Stats) bool { return s.Waiting == 2 })
	if s := r.Stats(); s.Running != 1 || s.UsedBlocks != 4 {
		t.Errorf("%+v; want 1 running on 4 blocks", s)
	}
	hangUp()
	if got := [2]int{<-large, <-small}; got != [2]int{200, 200} {
		t.Errorf("statuses %v", got)
	}
	r.idle()
}

// TestLeavingTheQueueLetsOthersIn hangs up the request that the others wait behind.
func TestLeavingTheQueueLetsOthersIn(t *testing.T) {
	r := start(t, slow(Config{CacheBlocks: 10}))
	hangUp := r.hold(text('a', 60), 20)
	ctx, cancel := context.WithCancel(context.Background())
	large := r.park(ctx, text('b', 90))
	r.eventually("waits", func(s Stats) bool { return s.Waiting == 1 })
	small := r.park(context.Background(), text('c', 10))
	r.eventually("waits behind it", func(s Stats) bool { return s.Waiting == 2 })
	cancel()
	<-large
	select {
	case got := <-small:
		if got != 200 {
			t.Errorf("status %d", got)
		}
	case <-time.After(limit):
		t.Error("the small request still waits behind one that has left")
	}
	hangUp()
	r.idle()
}

// TestCacheCanBeFilled runs two requests that need exactly all of it.
func TestCacheCanBeFilled(t *testing.T) {
	r := start(t, slow(Config{CacheBlocks: 4}))
	one, two := r.hold(text('a', 30), 2), r.hold(text('b', 30), 2)
	if s := r.Stats(); s.Running != 2 || s.KVUsage() != 1 {
		t.Errorf("%+v; want 2 running and all blocks in use", s)
	}
	one()
	two()
	r.idle()
}

func TestPromptsLargerThanTheCacheAreRefused(t *testing.T) {
	r := start(t, Config{TimeScale: Instant, CacheBlocks: 4})
	for _, c := range []struct{ prompt, max, status int }{{63, 1, 200}, {64, 1, 400}, {1, 1 << 62, 400}, {65, 1, 400}} {
		got := r.do("POST", "/v1/completions",
			encode(t, object{"model": r.cfg.Model, "prompt": text('a', c.prompt), "max_tokens": c.max}))
		if got.status != c.status {
			t.Errorf("%d tokens in and %d out: status %d, want %d", c.prompt, c.max, got.status, c.status)
		}
	}
}

// TestAdapterSlots lets requests for running adapters overtake one whose adapter has no slot.
func TestAdapterSlots(t *testing.T) {
	r := start(t, slow(Config{LoRA: []string{"x", "y"}, MaxLoRA: 1}))
	hangUp := r.hold("on x", 2, "model", "x")
	onY := r.park(context.Background(), "on y", "model", "y")
	r.eventually("y waits", func(s Stats) bool { return s.Waiting == 1 })
	for _, model := range []string{"x", r.cfg.Model} {
		if got := <-r.park(context.Background(), "more", "model", model); got != 200 {
			t.Errorf("%s: status %d", model, got)
		}
	}
	page := string(r.do("GET", "/metrics", "").body)
	if want := `max_lora="1",running_lora_adapters="x",waiting_lora_adapters="y"`; !strings.Contains(page, want) {
		t.Errorf("no %s in\n%s", want, page)
	}
	hangUp()
	if got := <-onY; got != http.StatusOK {
		t.Errorf("y: status %d", got)
	}
	r.idle()
}

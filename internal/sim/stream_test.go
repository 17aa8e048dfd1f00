package sim

import (
	"bufio"
	"context"
	"testing"
	"time"
)

// TestEveryEventIsFlushed reads each event long before the next one is due.
func TestEveryEventIsFlushed(t *testing.T) {
	r := start(t, Config{Model: "m", FirstToken: 1, InterToken: limit})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	begun := time.Now()
	resp := r.open(ctx, "POST", "/v1/chat/completions", chat+`,"stream":true,"max_tokens":2}`)
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	role := parse(t, []byte(nextEvent(t, lines)))
	arrived := time.Now()
	if at(t, role, "choices", 0, "delta", "role") != "assistant" {
		t.Errorf("first event %v", role)
	}
	// A float64 holds these nanoseconds to about a quarter of a microsecond.
	written := time.Unix(0, int64(at(t, role, "sim_written_unix_nano").(float64)))
	if written.Before(begun.Add(-time.Millisecond)) || written.After(arrived.Add(time.Millisecond)) {
		t.Errorf("written at %s, asked at %s, arrived at %s", written, begun, arrived)
	}
	if token := parse(t, []byte(nextEvent(t, lines))); len(at(t, token, "choices", 0, "delta", "content").(string)) != tokenBytes {
		t.Errorf("second event %v", token)
	}
	if took := time.Since(begun); took > limit/2 {
		t.Errorf("the first token took %s: it came with the second", took)
	}
	if n := r.Stats().GenerationTokens; n != 1 {
		t.Errorf("%d tokens generated, want 1", n)
	}
}

func TestTokensArePaced(t *testing.T) {
	for _, c := range []struct {
		cfg      Config
		from, to time.Duration
	}{
		{Config{FirstToken: 100 * time.Millisecond, InterToken: 10 * time.Millisecond}, 290 * time.Millisecond, limit},
		{Config{FirstToken: 100 * time.Second, InterToken: 10 * time.Second, TimeScale: 1e-3}, 290 * time.Millisecond, limit},
		{Config{FirstToken: time.Hour, InterToken: time.Hour, TimeScale: Instant}, 0, limit},
		{Config{FirstToken: 100 * time.Millisecond, InterToken: 10 * time.Millisecond, Jitter: 1}, 110 * time.Millisecond, limit},
	} {
		r := start(t, c.cfg)
		begun := time.Now()
		r.completion("hello", 20)
		if took := time.Since(begun); took < c.from || took > c.to {
			t.Errorf("%+v: 20 tokens took %s, want %s to %s", c.cfg, took, c.from, c.to)
		}
	}
}

// TestJitterVaries looks at the steps themselves.
func TestJitterVaries(t *testing.T) {
	r := New(Config{InterToken: 10 * time.Millisecond, Jitter: 0.2})
	seq := &sequence{}
	a := r.newAnswer(&textDialect, newRequest(t), &generation{}, seq)
	seen := make(map[time.Duration]bool)
	for range 100 {
		d := a.step()
		if d < 8*time.Millisecond || d > 12*time.Millisecond {
			t.Fatalf("a step of %s, want 10 ms ± 20 %%", d)
		}
		seen[d] = true
	}
	if len(seen) < 50 {
		t.Errorf("%d different steps of 100", len(seen))
	}
}

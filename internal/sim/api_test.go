package sim

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const chat = `{"model":"m","messages":[{"role":"user","content":"hello there"}]`

func TestChatAnswer(t *testing.T) {
	r := start(t, Config{Name: "gpu-1", Model: "m", TimeScale: Instant})
	got := r.do("POST", "/v1/chat/completions", chat+`,"max_tokens":5}`, "x-request-id", "abc")
	if got.status != 200 || got.header.Get("Content-Type") != "application/json" {
		t.Fatalf("status %d, %q", got.status, got.header)
	}
	o := parse(t, got.body)
	text, _ := at(t, o, "choices", 0, "message", "content").(string)
	if len(text) != 5*tokenBytes || at(t, o, "choices", 0, "message", "role") != "assistant" ||
		at(t, o, "choices", 0, "finish_reason") != "length" || at(t, o, "object") != "chat.completion" ||
		at(t, o, "id") != "chatcmpl-abc" || at(t, o, "model") != "m" {
		t.Errorf("answer %s", got.body)
	}
	// <|user|> 2, hello there 3, <|assistant|> 4.
	if p, cached, out := usageOf(t, o); p != 9 || cached != 0 || out != 5 {
		t.Errorf("usage %d, %d, %d; want 9, 0, 5", p, cached, out)
	}
	for name, want := range map[string]string{"x-sim-endpoint": "gpu-1", "x-sim-prompt-tokens": "9", "x-sim-cached-tokens": "0"} {
		if v := got.header.Get(name); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
}

// TestStreamedIsTheSameAnswer compares both forms in both APIs, and looks at the shape of the events.
func TestStreamedIsTheSameAnswer(t *testing.T) {
	r := start(t, Config{Model: "m", TimeScale: Instant})
	for _, api := range []struct {
		path, ask, object string
		whole, piece      []any
	}{
		{"/v1/chat/completions", chat, "chat.completion.chunk",
			[]any{"choices", 0, "message", "content"}, []any{"choices", 0, "delta", "content"}},
		{"/v1/completions", `{"model":"m","prompt":"hello there"`, "text_completion",
			[]any{"choices", 0, "text"}, []any{"choices", 0, "text"}},
	} {
		whole := parse(t, r.do("POST", api.path, api.ask+`,"max_tokens":40}`).body)
		streamed := r.do("POST", api.path, api.ask+`,"max_tokens":40,"stream":true,"stream_options":{"include_usage":true}}`)
		if ct := streamed.header.Get("Content-Type"); !strings.HasPrefix(ct, "text/event-stream") {
			t.Errorf("%s: Content-Type %q", api.path, ct)
		}
		all := events(t, streamed.body)
		if n := len(all); n < 42 || all[n-1] != nil || slices.ContainsFunc(all[:n-1], func(o object) bool { return o == nil }) {
			t.Fatalf("%s: %d events, want 40 tokens, a usage, and [DONE] at the end only", api.path, n)
		}
		last := all[len(all)-2]
		if choices, _ := at(t, last, "choices").([]any); len(choices) != 0 {
			t.Errorf("%s: the usage comes with choices: %v", api.path, last)
		}
		if p, _, out := usageOf(t, last); out != 40 || p != number(t, whole, "usage", "prompt_tokens") {
			t.Errorf("%s: usage %v", api.path, last)
		}
		text, reasons := "", 0
		tokens := all[:len(all)-2]
		for i, e := range tokens {
			piece, _ := at(t, e, api.piece...).(string)
			text += piece
			if at(t, e, "object") != api.object || e["usage"] != nil || (e["sim_written_unix_nano"] != nil) != (i == 0) {
				t.Errorf("%s: event %d is %v", api.path, i, e)
			}
			if reason := at(t, e, "choices", 0, "finish_reason"); reason != nil {
				reasons++
				if i != len(tokens)-1 || reason != "length" {
					t.Errorf("%s: event %d of %d ends with %v", api.path, i, len(tokens), reason)
				}
			}
		}
		if reasons != 1 || text != at(t, whole, api.whole...) {
			t.Errorf("%s: %d ends, streamed %q, whole %v", api.path, reasons, text, at(t, whole, api.whole...))
		}
	}
}

func TestStreamWithoutUsage(t *testing.T) {
	r := start(t, Config{Model: "m", TimeScale: Instant})
	body := r.do("POST", "/v1/chat/completions", chat+`,"stream":true}`).body
	if strings.Contains(string(body), "usage") || !strings.HasSuffix(string(body), "data: [DONE]\n\n") {
		t.Errorf("stream without include_usage: %s", body)
	}
}

func TestOutputLength(t *testing.T) {
	r := start(t, Config{Model: "m", TimeScale: Instant})
	for _, c := range []struct {
		limits string
		tokens int
		reason string
	}{
		{``, 16, "stop"},
		{`,"max_tokens":3`, 3, "length"},
		{`,"max_completion_tokens":4`, 4, "length"},
		{`,"max_tokens":3,"max_completion_tokens":4`, 4, "length"},
		{`,"max_tokens":16`, 16, "length"},
	} {
		o := parse(t, r.do("POST", "/v1/chat/completions", chat+c.limits+"}").body)
		if _, _, out := usageOf(t, o); out != c.tokens || at(t, o, "choices", 0, "finish_reason") != c.reason {
			t.Errorf("%s: %d tokens, %v", c.limits, out, at(t, o, "choices", 0, "finish_reason"))
		}
	}
}

func TestPromptTokens(t *testing.T) {
	r := start(t, Config{Model: "m", TimeScale: Instant})
	for _, c := range []struct {
		path, body string
		tokens     int
	}{
		{"/v1/completions", `{"model":"m","prompt":"12345"}`, 2},
		{"/v1/completions", `{"model":"m","prompt":["12345"]}`, 2},
		{"/v1/completions", `{"model":"m","prompt":[7,8,9]}`, 3},
		{"/v1/completions", `{"model":"m","prompt":[[7,8,9]]}`, 3},
		{"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"1234"},{"type":"text","text":"5"}]}]}`, 8},
		{"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"\u00e9\u00e9\u00e9"}]}`, 8},
		{"/v1/chat/completions", `{"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}]}`, 4 + 3 + 4},
		{"/v1/chat/completions", `{"model":"m","tools":[{"x":1}],"messages":[{"role":"user","content":""}]}`, 3 + 3 + 2 + 4},
	} {
		got := r.do("POST", c.path, c.body)
		if got.status != 200 {
			t.Errorf("%s: status %d: %s", c.body, got.status, got.body)
			continue
		}
		if p, _, _ := usageOf(t, parse(t, got.body)); p != c.tokens {
			t.Errorf("%s: %d tokens, want %d", c.body, p, c.tokens)
		}
	}
}

func TestErrors(t *testing.T) {
	r := start(t, Config{Model: "m", TimeScale: Instant})
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "/v1/chat/completions", `{"model":`, 400, "not a valid request"},
		{"POST", "/v1/chat/completions", chat + `} trailing`, 400, "not a valid request"},
		{"POST", "/v1/chat/completions", `{"model":"other","messages":[]}`, 404, `"other" does not exist`},
		{"POST", "/v1/chat/completions", `{"messages":[]}`, 404, "does not exist"},
		{"POST", "/v1/chat/completions", `{"model":"m","messages":[]}`, 400, "must not be empty"},
		{"POST", "/v1/chat/completions", `{"model":"m","messages":[{"content":"x"}]}`, 400, "messages[0] has no role"},
		{"POST", "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":7}]}`, 400, "messages[0]"},
		{"POST", "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, 400, "image_url"},
		{"POST", "/v1/chat/completions", chat + `,"max_tokens":0}`, 400, "at least 1"},
		{"POST", "/v1/chat/completions", chat + `,"n":2}`, 400, "n is 2"},
		{"POST", "/v1/completions", `{"model":"m"}`, 400, "prompt"},
		{"POST", "/v1/completions", `{"model":"m","prompt":""}`, 400, "prompt"},
		{"POST", "/v1/completions", `{"model":"m","prompt":["a","b"]}`, 400, "prompt"},
		{"POST", "/v1/completions", `{"model":"m","prompt":[]}`, 400, "prompt"},
		{"GET", "/v1/chat/completions", ``, 405, "takes POST"},
		{"POST", "/metrics", ``, 405, "takes GET"},
		{"GET", "/nothing", ``, 404, "/nothing"},
	} {
		got := r.do(c.method, c.path, c.body)
		o := parse(t, got.body)
		message, _ := at(t, o, "error", "message").(string)
		if got.status != c.status || !strings.Contains(message, c.says) || number(t, o, "error", "code") != c.status ||
			at(t, o, "error", "type") == "" {
			t.Errorf("%s %s %s: status %d, %s", c.method, c.path, c.body, got.status, got.body)
		}
		if got.header.Get("x-sim-endpoint") == "" || (c.status == 405) != (got.header.Get("Allow") != "") {
			t.Errorf("%s %s: headers %v", c.method, c.path, got.header)
		}
	}
	if s := r.Stats(); s.Requests != 0 || s.Disconnects != 0 {
		t.Errorf("refused requests were counted: %+v", s)
	}
}

func TestModelsAndHealth(t *testing.T) {
	r := start(t, Config{Model: "m", LoRA: []string{"sql"}})
	o := parse(t, r.do("GET", "/v1/models", "").body)
	if at(t, o, "data", 0, "id") != "m" || at(t, o, "data", 1, "id") != "sql" || at(t, o, "data", 1, "parent") != "m" {
		t.Errorf("models: %v", o)
	}
	for _, path := range []string{"/health", "/ping"} {
		if got := r.do("GET", path, ""); got.status != 200 {
			t.Errorf("%s: status %d", path, got.status)
		}
	}
	name := strings.TrimPrefix(r.url, "http://")
	if got := r.do("GET", "/health", "").header.Get("x-sim-endpoint"); got != name {
		t.Errorf("a server without a name calls itself %q, want %q", got, name)
	}
}

// TestTextsAreSeeded compares servers, seeds and prompts.
func TestTextsAreSeeded(t *testing.T) {
	say := func(cfg Config, prompt string) string {
		cfg.TimeScale = Instant
		r := start(t, cfg)
		o := parse(t, r.do("POST", "/v1/completions",
			encode(t, object{"model": r.cfg.Model, "prompt": prompt, "max_tokens": 30})).body)
		return at(t, o, "choices", 0, "text").(string)
	}
	base := say(Config{Name: "a"}, "hello")
	if got := say(Config{Name: "b", Jitter: 0.5, CacheBlocks: 100}, "hello"); got != base {
		t.Errorf("another server says %q, want %q", got, base)
	}
	if got := say(Config{Seed: 1}, "hello"); got == base {
		t.Error("another seed says the same")
	}
	if got := say(Config{}, "hello!"); got == base {
		t.Error("another prompt says the same")
	}
}

func TestLargeBodies(t *testing.T) {
	r := start(t, Config{Model: "m", TimeScale: Instant, CacheBlocks: 1 << 17})
	const tokens = 1 << 20
	if p, _, _ := r.completion(text('a', tokens), 1); p != tokens {
		t.Errorf("%d tokens of a 4 MiB prompt, want %d", p, tokens)
	}
	resp := r.open(context.Background(), http.MethodPost, "/v1/completions", `{"model":"m","prompt":"x"}`, "Expect", "100-continue")
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("with Expect: status %d", resp.StatusCode)
	}
	r.idle()
}

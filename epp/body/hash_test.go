package body

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestHashes holds the keys of bodies against those of the straightforward way, for blocks of several sizes.
func TestHashes(t *testing.T) {
	for name, tc := range hashedBodies(t) {
		t.Run(name, func(t *testing.T) {
			compareHashes(t, tc.api, tc.body)
		})
	}
}

type hashedBody struct {
	api  API
	body string
}

func hashedBodies(t *testing.T) map[string]hashedBody {
	t.Helper()
	long := strings.Repeat(`A line of \"text\" with what clients write: caf\u00e9, é, \ud83d\ude00, \/ and a tab\t.\n`, 40)
	small := strings.ReplaceAll(picture(t, "png", 70, 50), "/", `\/`)
	tools := `[ {"type":"function", "function":{"name":"f\u0041","parameters":{"b":[1,2],"a":null}}} ]`
	return map[string]hashedBody{
		"chat":                 {ChatCompletions, `{"model":"m","messages":[{"role":"system","content":"You help."},{"role":"user","content":"` + long + `"}]}`},
		"one letter":           {ChatCompletions, `{"model":"m","messages":[{"role":"u","content":""}]}`},
		"nothing":              {ChatCompletions, `{"model":"m","messages":[{"role":"","content":null},{}]}`},
		"salt":                 {ChatCompletions, `{"cache_salt":"s\u00e9","model":"m","messages":[{"role":"user","content":"hello"}]}`},
		"adapter":              {ChatCompletions, `{"model":"base/lora-1","messages":[{"role":"user","content":"hello"}]}`},
		"content before role":  {ChatCompletions, `{"messages":[{"content":"` + long + `","x":[{"text":"no"}],"role":"user"},{"content":"b","role":"a"}],"model":"m"}`},
		"tools at the end":     {ChatCompletions, `{"messages":[{"content":"hi","role":"user"}],"model":"m","tools":` + tools + `}`},
		"no tools":             {ChatCompletions, `{"messages":[{"content":"hi","role":"user"}],"model":"m","tools":[ ]}`},
		"a member twice":       {ChatCompletions, `{"model":"m","messages":[{"content":"no"}],"messages":[{"role":"no","content":[{"type":"text","text":"no"}],"role":"yes","content":"yes"}]}`},
		"tool calls":           {ChatCompletions, `{"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"1","text":"no","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","content":"42"}]}`},
		"halves of pairs":      {ChatCompletions, `{"model":"m","messages":[{"role":"\ud83d","content":"\ud83d\ud83d\ude00\udE00\ud83dx\ud83d\n\ud83d\\u0041"}]}`},
		"escapes alone":        {ChatCompletions, `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat(`\n`, 999) + strings.Repeat(`\u4e16`, 999) + `"}]}`},
		"escapes beyond marks": {Completions, `{"model":"m","prompt":"` + strings.Repeat(`a\nb`, maxMarks+9) + long + `"}`},
		"no escapes":           {Completions, `{"model":"m","prompt":"` + strings.Repeat("plain text ", 900) + `"}`},
		"an escape at the end": {Completions, `{"model":"m","prompt":"` + strings.Repeat("plain text ", 900) + `\""}`},
		"parts": {ChatCompletions, `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"` + long + `"},{"text":"!","type":"text"},
			{"type":"image_url","image_url":{"detail":"low","url":"` + small + `"}},{"type":"image_url","image_url":{"url":"https:\/\/example.com\/a.png"}},{"type":"text","text":"x"}]}]}`},
		"anthropic": {Messages, `{"messages":[{"role":"user","content":"` + long + `"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},
			{"input":{"a":[1, 2]},"name":"f\n","id":"t1","type":"tool_use"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"a"},
			{"type":"text","text":"b"}]},{"type":"tool_result","content":"c"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}],
			"system":[{"type":"text","text":"x-anthropic-billing-header: 77"},{"type":"text","text":"Be brief."}],"tools":` + tools + `,"model":"m","max_tokens":5}`},
		"system as text":   {Messages, `{"system":"Be\tbrief.","messages":[{"role":"user","content":"hi"}],"model":"m"}`},
		"prompts":          {Completions, `{"model":"m","prompt":["` + long + `","","b","` + strings.Repeat("c", 256) + `"]}`},
		"token ids":        {Completions, `{"model":"m","prompt":[` + strings.Repeat("1, 4294967295,12345678 ,\n1234567,", 99) + `0]}`},
		"lists of ids":     {Completions, `{"model":"m","prompt":[[` + strings.Repeat("1, 22,", 99) + `0],[],[7,8]]}`},
		"generate":         {Generate, `{"model":"m","token_ids":[151644,872,198],"cache_salt":"s"}`},
		"responses":        {Responses, `{"input":[{"role":"user","content":"a\nb"}],"model":"m","tools":` + tools + `,"instructions":"Be brief."}`},
		"responses, alone": {Responses, `{"input":"hello","model":"m","tools":[]}`},
		"embeddings":       {Embeddings, `{"input":["a","b"],"model":"m"}`},
	}
}

func compareHashes(t *testing.T, api API, text string) {
	t.Helper()
	model, salt, prompts := plainPrompts(t, api, text)
	size := 0
	for _, prompt := range prompts {
		size += 4 * len(prompt)
	}
	var whole, cut Request
	for _, blockTokens := range []int{1, 4, 64, 100, 1024} {
		limits := Limits{MaxPromptBytes: 1 << 20, BlockBytes: 4 * blockTokens}
		if err := Scan(api, []byte(text), true, limits, &whole); err != nil {
			t.Fatal(err)
		}
		want := plainKeys(model, salt, prompts, blockTokens, 1<<18/blockTokens)
		if whole.CacheSalt != salt || !slices.Equal(keysOf(&whole, whole.Model), want) {
			t.Fatalf("blocks of %d tokens: got %x, want %x", blockTokens, short(keysOf(&whole, whole.Model)), short(want))
		}
		if size < limits.MaxPromptBytes && whole.PromptBytes != size {
			t.Errorf("%d prompt bytes, want %d", whole.PromptBytes, size)
		}
		limits.MaxPromptBytes = 40 * blockTokens // ten blocks
		if err := Scan(api, []byte(text), true, limits, &cut); err != nil || !slices.Equal(keysOf(&cut, model), plainKeys(model, salt, prompts, blockTokens, 10)) {
			t.Fatalf("ten blocks of %d tokens: %x, %v", blockTokens, keysOf(&cut, model), err)
		}
	}
}

func short(keys []uint64) []uint64 { return keys[:min(len(keys), 8)] }

// TestHashesOfBeginnings cuts bodies at every byte, with blocks of one token, so that nothing uncertain goes unnoticed.
func TestHashesOfBeginnings(t *testing.T) {
	tokens := Limits{MaxPromptBytes: 1 << 20, BlockBytes: 4}
	for name, tc := range hashedBodies(t) {
		if len(tc.body) > 20_000 || name == "tools at the end" || name == "anthropic" || name == "responses" || name == "a member twice" {
			continue // what comes first comes last
		}
		var whole, cut Request
		if err := Scan(tc.api, []byte(tc.body), true, tokens, &whole); err != nil {
			t.Fatal(err)
		}
		for n := range len(tc.body) {
			if err := Scan(tc.api, []byte(tc.body[:n]), false, tokens, &cut); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if len(cut.Blocks) > len(whole.Blocks) || !slices.Equal(cut.Blocks, whole.Blocks[:len(cut.Blocks)]) {
				t.Fatalf("%s cut after %d bytes (%s): blocks are not a beginning of the whole body's", name, n, tc.body[max(0, n-30):n])
			}
		}
	}
}

// TestCertainBlocksAreHashed checks that a cut costs no more than the block it falls into.
func TestCertainBlocksAreHashed(t *testing.T) {
	start := `{"model":"m","prompt":"`
	for name, text := range map[string]string{"plain": strings.Repeat("0123456789", 500), "escapes": strings.Repeat(`01234567\n9`, 500)} {
		for n := 0; n < len(text); n += 13 {
			size := strings.Count(text[:n], "") - 1 - strings.Count(text[:n], `\`)
			r := scan(t, Completions, start+text[:n], false)
			if want := size / limits.BlockBytes; len(r.Blocks) != want {
				t.Fatalf("%s: %d bytes of prompt, %d blocks", name, size, len(r.Blocks))
			}
		}
	}
}

// TestOddTokenIDs checks that what is no token id ends what is hashed, and that every id counts.
func TestOddTokenIDs(t *testing.T) {
	one := Limits{MaxPromptBytes: 1 << 20, BlockBytes: 4}
	for list, want := range map[string]int{
		"1,2,3": 3, "1,2,4294967295": 3, "1,2,4294967296,5": 2, "1,2,99999999999999999999999,5": 2, "1,2.5,3": 1, "1,2,-3,4": 2,
		"1,2e1,3": 1, "1 , 2\n,3": 3, "1,null,3": 1, "1234567,12345678,123456789,7": 4, "0,10,100,1000,10000,100000,1000000,10000000,7": 9,
	} {
		for _, tail := range []string{"", "                "} { // near the end of the body, and not
			r := &Request{}
			if err := Scan(Generate, []byte(`{"token_ids":[`+list+tail+`]}`), true, one, r); err != nil {
				t.Fatal(err)
			}
			if len(r.Blocks) != want || r.PromptBytes != 4*(strings.Count(list, ",")+1) {
				t.Errorf("%s: %d blocks, want %d; %d bytes", list, len(r.Blocks), want, r.PromptBytes)
			}
		}
	}
}

// TestInvalidUTF8Anywhere has a byte that is no UTF-8 at every place of a text.
func TestInvalidUTF8Anywhere(t *testing.T) {
	for n := range 150 {
		text := []byte(`{"model":"m","prompt":"` + strings.Repeat("x", 150) + `"}`)
		text[23+n] = 0xff
		if err := Scan(Completions, text, true, limits, &Request{}); err == nil {
			t.Errorf("at %d: accepted", n)
		}
	}
}

// TestManyParts checks that a body of tiny messages is not noted in full, and that what is hashed of it is right.
func TestManyParts(t *testing.T) {
	const n = maxParts * 2
	text := `{"model":"m","messages":[{"role":"u","content":"a"}` + strings.Repeat(`,{"role":"u","content":"a"}`, n) + `]}`
	r := scan(t, ChatCompletions, text, true)
	all := scan(t, Completions, `{"model":"m","prompt":"`+strings.Repeat("ua", maxParts/2)+`"}`, true)
	if cap(r.noted.parts) > 2*maxParts || len(r.Blocks) < len(all.Blocks)-1 || !slices.Equal(r.Blocks, all.Blocks[:len(r.Blocks)]) {
		t.Errorf("%d parts kept, %d blocks of %d", cap(r.noted.parts), len(r.Blocks), len(all.Blocks))
	}
	if r.PromptBytes < 2*n {
		t.Errorf("%d prompt bytes", r.PromptBytes)
	}
	many := scan(t, Completions, `{"model":"m","prompt":["a"`+strings.Repeat(`,"a"`, n)+`]}`, true)
	if most := limits.MaxPromptBytes / limits.BlockBytes; len(many.Prompts) != most || len(many.Blocks) != most {
		t.Errorf("%d prompts, %d blocks", len(many.Prompts), len(many.Blocks))
	}
	r.Reset()
	if cap(r.noted.parts) > keptParts {
		t.Errorf("memory for %d parts is kept", cap(r.noted.parts))
	}
}

// TestKnownHashes has keys as numbers: all replicas, old and new, have to agree on them.
func TestKnownHashes(t *testing.T) {
	for _, tc := range []struct {
		api  API
		body string
		want string
	}{
		{ChatCompletions, `{"model":"meta-llama/Llama-3.1-8B-Instruct","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"Say \"hello\"\nto caf\u00e9 \ud83d\ude00."}]}`,
			"[7b3d2dffc833e682]"},
		{Completions, `{"model":"m","cache_salt":"tenant-1","prompt":["first prompt","second prompt"]}`,
			"[94a1f75e78fd86d2 366f8e68131e5668]"},
		{Generate, `{"model":"lora-a","token_ids":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,128009]}`,
			"[81a9c6431daa3ab9 1d6406d21c9df76f]"},
	} {
		r := &Request{}
		if err := Scan(tc.api, []byte(tc.body), true, Limits{MaxPromptBytes: 1 << 20, BlockBytes: 64}, r); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%016x", keysOf(r, r.Model)); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.body, got, tc.want)
		}
	}
}

// TestKeysFollowTheTarget checks that a body asked for under another model has that model's keys.
func TestKeysFollowTheTarget(t *testing.T) {
	body := func(model string) *Request {
		return scan(t, ChatCompletions, `{"model":"`+model+`","messages":[{"role":"user","content":"hi"}]}`, true)
	}
	if a, b := keysOf(body("alias"), "target"), keysOf(body("target"), "target"); !slices.Equal(a, b) {
		t.Errorf("%x and %x", a, b)
	}
	if a, b := keysOf(body("m"), "m"), keysOf(body("n"), "n"); a[0] == b[0] {
		t.Error("models share keys")
	}
}

package body

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var limits = Limits{MaxPromptBytes: 1 << 20, BlockBytes: 64}

func scan(t *testing.T, api API, body string, complete bool) *Request {
	t.Helper()
	r := &Request{}
	if err := Scan(api, []byte(body), complete, limits, r); err != nil {
		t.Fatalf("Scan(%s, %.200s): %v", api, body, err)
	}
	return r
}

func TestAPIOf(t *testing.T) {
	for path, want := range map[string]API{
		"/v1/chat/completions":                  ChatCompletions,
		"/v1/chat/completions?api-version=1":    ChatCompletions,
		"/v1/chat/completions/render":           ChatCompletions,
		"/openai/v1/completions":                Completions,
		"/v1/completions/render":                Completions,
		"completions":                           Completions,
		"/v1/mycompletions":                     Unknown,
		"/v1/responses":                         Responses,
		"/v1/responses/resp_1":                  Unknown,
		"/v1/conversations":                     Conversations,
		"/v1/embeddings":                        Embeddings,
		"/v1/images/generations":                ImagesGenerations,
		"/v1/messages":                          Messages,
		"/v1/messages/count_tokens":             CountTokens,
		"/inference/v1/generate":                Generate,
		"/generate":                             SGLangGenerate,
		"/generate?x=/v1/completions":           SGLangGenerate,
		"/generate/":                            SGLangGenerate,
		"/v1/chat/completions/":                 ChatCompletions,
		"/v1.chat/completions":                  Completions,
		"/vllm.grpc.engine.VllmEngine/Generate": GRPCGenerate,
		"/vllm.grpc.engine.VllmEngine/Embed":    GRPCEmbed,
		"/vllm.grpc.engine.VllmEngine/Abort":    Unknown,
		"/xvllm.grpc.engine.VllmEngine/Embed":   Unknown,
		"/google.cloud.aiplatform.v1beta1.PredictionService/ChatCompletions": VertexChat,
		"/google.cloud.aiplatform.v1.PredictionService/RawPredict":           VertexRawPredict,
		"/google.cloud.aiplatform.v1.PredictionService/StreamRawPredict":     VertexRawPredict,
		"/google.cloud.aiplatform.v1.MyPredictionService/RawPredict":         Unknown,
		"/v1/generate":                         Unknown,
		"/v1/models":                           Unknown,
		"/v1/audio/transcriptions":             Unknown,
		"":                                     Unknown,
		"/?/v1/chat/completions":               Unknown,
		"/v1/models?next=/v1/chat/completions": Unknown,
	} {
		if got := APIOf(path); got != want {
			t.Errorf("APIOf(%q) = %s, want %s", path, got, want)
		}
	}
}

func TestScanFields(t *testing.T) {
	for _, tc := range []struct {
		name string
		api  API
		body string
		want Request // PromptBytes and Blocks are looked at elsewhere
	}{
		{"chat", ChatCompletions,
			`{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"max_tokens":7}`,
			Request{Model: "m", Stream: true, MaxTokens: 7}},
		{"white space everywhere", ChatCompletions,
			" \r\n\t{ \"model\" : \"m\" ,\n\"messages\" : [ 1 ] , \"stream\" : false }\n ",
			Request{Model: "m"}},
		{"max_completion_tokens wins over max_tokens", ChatCompletions,
			`{"max_completion_tokens":5,"max_tokens":7,"model":"m","messages":[1]}`,
			Request{Model: "m", MaxTokens: 5}},
		{"null max_completion_tokens does not", ChatCompletions,
			`{"max_completion_tokens":null,"max_tokens":7,"model":"m","messages":[1]}`,
			Request{Model: "m", MaxTokens: 7}},
		{"fields within values do not count", ChatCompletions,
			`{"messages":[{"model":"no","stream":true,"max_tokens":3}],"metadata":{"model":"no","stream":true,"cache_salt":"no"},"model":"m"}`,
			Request{Model: "m"}},
		{"a field given twice counts the last time", ChatCompletions,
			`{"model":"a","stream":true,"model":"b","messages":[1],"stream":false}`,
			Request{Model: "b"}},
		{"escapes in names and model", ChatCompletions,
			`{"mod\u0065l":"\u006d\t\ud83d\ude00\ud83d\"é","messages":[1]}`,
			Request{Model: "m\t😀\ufffd\"é"}},
		{"names are case-sensitive", Completions,
			`{"Model":"no","model":"m","prompt":"x","STREAM":true}`,
			Request{Model: "m"}},
		{"completions", Completions,
			`{"model":"m","prompt":["a","b"],"max_tokens":1e2,"max_completion_tokens":3,"cache_salt":"s"}`,
			Request{Model: "m", MaxTokens: 100, CacheSalt: "s"}},
		{"an empty model is a model", Completions, `{"model":"","prompt":"x"}`, Request{}},
		{"limits that are none", Completions, `{"model":"m","prompt":"x","max_tokens":-3}`, Request{Model: "m"}},
		{"limits that are no whole number", Completions, `{"model":"m","prompt":"x","max_tokens":2.5}`, Request{Model: "m"}},
		{"limits that are no number", Completions, `{"model":"m","prompt":"x","max_tokens":"9"}`, Request{Model: "m"}},
		{"a huge limit", Completions, `{"model":"m","prompt":"x","max_tokens":1e999}`, Request{Model: "m", MaxTokens: 1<<63 - 1}},
		{"responses", Responses,
			`{"model":"m","input":"x","max_output_tokens":4,"max_tokens":5}`,
			Request{Model: "m", MaxTokens: 4}},
		{"conversations", Conversations, `{"items":[{}]}`, Request{}},
		{"embeddings", Embeddings, `{"model":"m","input":["x"]}`, Request{Model: "m"}},
		{"images", ImagesGenerations, `{"model":"m","prompt":"x"}`, Request{Model: "m"}},
		{"messages", Messages,
			`{"model":"m","system":"s","messages":[{}],"max_tokens":4,"stream":true}`,
			Request{Model: "m", MaxTokens: 4, Stream: true}},
		{"count tokens", CountTokens, `{"model":"m","messages":[{}]}`, Request{Model: "m"}},
		{"generate", Generate,
			`{"token_ids":[1,2],"sampling_params":{"n":{"max_tokens":1},"max_tokens":9},"max_tokens":4,"stream":true}`,
			Request{MaxTokens: 9, Stream: true}},
		{"generate, sampling params twice", Generate,
			`{"token_ids":[1,2],"sampling_params":{"max_tokens":9},"sampling_params":{}}`,
			Request{}},
		{"generate, sampling params no object", Generate, `{"token_ids":[1],"sampling_params":[{"max_tokens":9}]}`, Request{}},
		{"sglang", SGLangGenerate,
			`{"input_ids":[1,2],"sampling_params":{"max_new_tokens":9},"extra_key":"k","cache_salt":"no"}`,
			Request{MaxTokens: 9, CacheSalt: "k"}},
		{"sglang with text", SGLangGenerate, `{"text":"hello","model":"m"}`, Request{Model: "m"}},
		{"unknown is not looked at", Unknown, `--form-data`, Request{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := scan(t, tc.api, tc.body, true)
			tc.want.API = tc.api
			if got.API != tc.want.API || got.Model != tc.want.Model || got.Stream != tc.want.Stream ||
				got.MaxTokens != tc.want.MaxTokens || got.CacheSalt != tc.want.CacheSalt || got.Truncated {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestScanDetects(t *testing.T) {
	for body, want := range map[string]API{
		`{"model":"m","messages":[1]}`:              ChatCompletions,
		`{"model":"m","system":"","messages":[1]}`:  Messages,
		`{"model":"m","prompt":"x"}`:                Completions,
		`{"model":"m","input":"x"}`:                 Responses,
		`{"token_ids":[1]}`:                         Generate,
		`{"input_ids":[1]}`:                         SGLangGenerate,
		`{"items":[1]}`:                             Conversations,
		`{"something":"else"}`:                      Unknown,
		`{"model":"m","prompt":null,"input":"abc"}`: Responses,
	} {
		if got := scan(t, Detect, body, true); got.API != want {
			t.Errorf("%s: API %s, want %s", body, got.API, want)
		}
	}
}

func TestFieldErrors(t *testing.T) {
	const noModel = "model not found in request body"
	for _, tc := range []struct {
		api            API
		body           string
		field, message string
	}{
		{ChatCompletions, `{"messages":[1]}`, "model", noModel},
		{ChatCompletions, `{"messages":[1],"model":null}`, "model", noModel},
		{ChatCompletions, `{"messages":[1],"model":5}`, "model", noModel},
		{ChatCompletions, `{"messages":[1],"model":"a","model":{}}`, "model", noModel},
		{ChatCompletions, `{"messages":[1],"model":"` + strings.Repeat("a", 1025) + `"}`, "model", "model name is longer than 1024 bytes"},
		{Generate, `{"token_ids":[1],"model":5}`, "model", noModel},
		{ChatCompletions, `{"model":"m"}`, "messages", "invalid chat completions request: must have valid messages field"},
		{ChatCompletions, `{"model":"m","messages":null}`, "messages", "invalid chat completions request: must have valid messages field"},
		{ChatCompletions, `{"model":"m","messages":"x"}`, "messages", "invalid chat completions request: must have valid messages field"},
		{ChatCompletions, `{"model":"m","messages":[ ]}`, "messages", "chat-completions request must have at least one message"},
		{Completions, `{"model":"m","prompt":""}`, "prompt", "invalid completions request: must have prompt field"},
		{Completions, `{"model":"m","prompt":[ ]}`, "prompt", "invalid completions request: must have prompt field"},
		{Completions, `{"model":"m","prompt":{}}`, "prompt", "invalid completions request: must have prompt field"},
		{Embeddings, `{"model":"m","input":7}`, "input", "invalid embeddings request: must have input field"},
		{Embeddings, `{"model":"m","input":""}`, "input", "invalid embeddings request: must have input field"},
		{Conversations, `{"items":[]}`, "items", "invalid conversations request: must have items field"},
		{Generate, `{"token_ids":["a"]}`, "token_ids", "invalid generate request: must have non-empty token_ids field"},
		{Generate, `{"token_ids":"a"}`, "token_ids", "invalid generate request: must have non-empty token_ids field"},
		{SGLangGenerate, `{"input_ids":"a"}`, "input_ids", "invalid generate request: input_ids must be provided"},
		{SGLangGenerate, `{"input_ids":[-1]}`, "input_ids", "invalid generate request: input_ids must be provided"},
		{SGLangGenerate, `{"text":7}`, "input_ids", "invalid generate request: input_ids must be provided"},
		{SGLangGenerate, `{"input_ids":[1],"extra_key":7}`, "extra_key", "unsupported generate request: extra_key must be a string"},
		{Completions, `{"model":"m"}`, "prompt", "invalid completions request: must have prompt field"},
		{Responses, `{"model":"m"}`, "input", "invalid responses request: must have input field"},
		{Embeddings, `{"model":"m"}`, "input", "invalid embeddings request: must have input field"},
		{Conversations, `{"model":"m"}`, "items", "invalid conversations request: must have items field"},
		{ImagesGenerations, `{"model":"m"}`, "prompt", "invalid images generations request: must have prompt field"},
		{Messages, `{"model":"m","messages":[]}`, "messages", "invalid messages request: must have at least one message"},
		{CountTokens, `{"model":"m"}`, "messages", "invalid messages request: must have at least one message"},
		{Generate, `{"model":"m","token_ids":[]}`, "token_ids", "invalid generate request: must have non-empty token_ids field"},
		{SGLangGenerate, `{"model":"m"}`, "input_ids", "invalid generate request: input_ids must be provided"},
		{SGLangGenerate, `{"model":"m","input_ids":[]}`, "input_ids", "invalid generate request: input_ids must be provided"},
	} {
		err := Scan(tc.api, []byte(tc.body), true, limits, &Request{})
		var fe *FieldError
		if !errors.As(err, &fe) || fe.Field != tc.field || fe.Error() != tc.message {
			t.Errorf("%s %.60s: got %v, want %s: %s", tc.api, tc.body, err, tc.field, tc.message)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	deep := func(n int) string {
		return `{"model":"m","prompt":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	if err := Scan(Completions, []byte(deep(maxDepth-1)), true, limits, &Request{}); err != nil {
		t.Errorf("%d levels: %v", maxDepth, err)
	}
	for _, tc := range []struct {
		body   string
		offset int
		reason string
	}{
		{``, 0, endOfBody},
		{`null`, 0, notObject},
		{`[1]`, 0, notObject},
		{`{"a":1} x`, 8, afterTop},
		{`{"a":1}}`, 7, afterTop},
		{`{"a":1`, 6, endOfBody},
		{`{"a" 1}`, 5, wantColon},
		{`{a:1}`, 1, wantKey},
		{`{"a":1,}`, 7, wantKey},
		{`{"a":}`, 5, wantValue},
		{`{"a":1 "b":2}`, 7, wantComma},
		{`{"a":[1,]}`, 8, wantValue},
		{`{"a":[1}`, 7, wantComma},
		{`{"a":[[1]}`, 9, wantComma},
		{`{"a":{"b":1]}`, 11, wantComma},
		{`{"a":tru}`, 8, badLiteral},
		{`{"a":01}`, 6, wantComma},
		{`{"a":-}`, 6, badNumber},
		{`{"a":1.}`, 7, badNumber},
		{`{"a":1e+}`, 8, badNumber},
		{`{"a":"\x"}`, 7, badEscape},
		{`{"a":"\u12g4"}`, 10, badEscape},
		{"{\"a\":\"x\ny\"}", 7, badControl},
		{"{\"a\":\"0123456789abcdef\x1f\"}", 22, badControl},
		{deep(maxDepth), 22 + maxDepth - 1, tooDeep},
	} {
		err := Scan(Completions, []byte(tc.body), true, limits, &Request{})
		var se *SyntaxError
		if !errors.As(err, &se) || se.Offset != tc.offset || se.Reason != tc.reason {
			t.Errorf("%.40s: got %v, want %s at byte %d", tc.body, err, tc.reason, tc.offset)
		}
		if tc.reason == endOfBody {
			continue
		}
		if err := Scan(Completions, []byte(tc.body), false, limits, &Request{}); err == nil {
			t.Errorf("%.40s: accepted as the beginning of a body", tc.body)
		}
	}
}

// TestTruncated cuts bodies at every byte: no error, and the blocks are the first of those of the whole body.
func TestTruncated(t *testing.T) {
	tools := `[{"type":"function","function":{"name":"` + strings.Repeat("f", 100) + `"}}]`
	for api, body := range map[API]string{
		ChatCompletions: `{"model":"m\u00e9","tools":` + tools + `,"stream":true,"max_tokens":123,"messages":` + conversation(4) + `,"x":[{"y":[true,false,null,-1.5e+3]}]}`,
		Messages:        `{"system":"` + strings.Repeat("s", 90) + `","messages":` + conversation(3) + `,"model":"m"}`,
		Completions:     `{"prompt":"` + strings.Repeat(`ab\ncd\u1234`, 40) + `","model":"m"}`,
		Generate:        `{"token_ids":[` + strings.Repeat("1234,", 80) + `5],"sampling_params":{"max_tokens":123}}`,
	} {
		whole := scan(t, api, body, true)
		if len(whole.Blocks) < 5 {
			t.Fatalf("%s: %d blocks, too few to test with", api, len(whole.Blocks))
		}
		for n := range len(body) {
			r := &Request{}
			if err := Scan(api, []byte(body[:n]), false, limits, r); err != nil {
				t.Fatalf("%s cut after %d bytes: %v", api, n, err)
			}
			if !r.Truncated {
				t.Fatalf("%s cut after %d bytes: not said to be truncated", api, n)
			}
			if len(r.Blocks) > len(whole.Blocks) || !slices.Equal(r.Blocks, whole.Blocks[:len(r.Blocks)]) {
				t.Fatalf("%s cut after %d bytes: blocks are not a beginning of the whole body's", api, n)
			}
			if r.Model != "" && r.Model != whole.Model || r.MaxTokens != 0 && r.MaxTokens != whole.MaxTokens {
				t.Fatalf("%s cut after %d bytes: %+v", api, n, r)
			}
			if err := Scan(api, []byte(body[:n]), true, limits, r); err == nil {
				t.Fatalf("%s cut after %d bytes: accepted as a complete body", api, n)
			}
		}
		if r := scan(t, api, body, false); r.Truncated || !slices.Equal(r.Blocks, whole.Blocks) || r.Model != whole.Model {
			t.Errorf("%s: a whole body sent as a first part: %+v, want %+v", api, r, whole)
		}
	}
}

// conversation is a messages array of n turns, the same turns each time.
func conversation(n int) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"role":"user","content":"turn %d: %s"}`, i, strings.Repeat("word ", 20+i))
	}
	return b.String() + "]"
}

func TestConversationKeepsItsBlocks(t *testing.T) {
	for n := 1; n < 30; n++ {
		a := scan(t, ChatCompletions, `{"model":"m","messages":`+conversation(n)+`}`, true).Blocks
		b := scan(t, ChatCompletions, `{"messages":`+conversation(n+1)+`,"stream":true,"model":"m"}`, true).Blocks
		if len(a) < 2 || !slices.Equal(a[:len(a)-1], b[:len(a)-1]) {
			t.Fatalf("%d turns: blocks but the last are not kept by the next turn", n)
		}
	}
}

func TestFieldOrderDoesNotMatter(t *testing.T) {
	members := []string{`"model":"m"`, `"tools":[` + strings.Repeat("1,", 60) + `2]`, `"messages":` + conversation(3),
		`"system":"` + strings.Repeat("s", 100) + `"`, `"stream":true`, `"other":{"messages":[]}`}
	want := scan(t, Messages, "{"+strings.Join(members, ",")+"}", true)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		rng.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		got := scan(t, Messages, "{"+strings.Join(members, ", ")+"}", true)
		if !slices.Equal(got.Blocks, want.Blocks) || got.PromptBytes != want.PromptBytes {
			t.Fatalf("other blocks with the order %.200s", members)
		}
	}
	other := scan(t, ChatCompletions, "{"+strings.Join(members, ",")+"}", true)
	if slices.Equal(other.Blocks, want.Blocks) {
		t.Error("system is not hashed")
	}
}

func TestFieldsAreKeptApart(t *testing.T) {
	a := scan(t, Responses, `{"model":"m","instructions":"x","input":"x"}`, true)
	b := scan(t, Responses, `{"model":"m","input":"x"}`, true)
	if a.Blocks[0] == b.Blocks[0] {
		t.Error("equal text in other fields has equal hashes")
	}
}

func TestLimits(t *testing.T) {
	prompt := strings.Repeat("p", 1002)
	body := []byte(`{"model":"m","prompt":"` + prompt + `"}`)
	for _, tc := range []struct {
		lim  Limits
		want int
	}{
		{Limits{MaxPromptBytes: 1 << 20, BlockBytes: 100}, 11}, // ten blocks and a short one
		{Limits{MaxPromptBytes: 1100, BlockBytes: 100}, 11},
		{Limits{MaxPromptBytes: 1099, BlockBytes: 100}, 10}, // no room for another
		{Limits{MaxPromptBytes: 250, BlockBytes: 100}, 2},
		{Limits{MaxPromptBytes: 99, BlockBytes: 100}, 0},
		{Limits{MaxPromptBytes: 1 << 20}, 0},
		{Limits{MaxPromptBytes: 1 << 20, BlockBytes: 3}, 0}, // less than a token
		{Limits{BlockBytes: 100}, 0},
		{Limits{MaxPromptBytes: -1, BlockBytes: 100}, 0},
	} {
		r := &Request{}
		if err := Scan(Completions, body, true, tc.lim, r); err != nil {
			t.Fatal(err)
		}
		if len(r.Blocks) != tc.want || r.PromptBytes != len(prompt)+2 {
			t.Errorf("%+v: %d blocks, want %d; %d prompt bytes", tc.lim, len(r.Blocks), tc.want, r.PromptBytes)
		}
	}
}

func TestLongSaltIsHashed(t *testing.T) {
	salt := func(s string) string {
		return scan(t, Completions, `{"model":"m","prompt":"x","cache_salt":"`+s+`"}`, true).CacheSalt
	}
	a, b := salt(strings.Repeat("a", 5000)), salt(strings.Repeat("a", 5001))
	if len(a) != 32 || a == b {
		t.Errorf("salts %q and %q, want two hashes", a, b)
	}
}

// TestRequestIsReused checks that nothing of an earlier body is left, and that a scan allocates nothing.
func TestRequestIsReused(t *testing.T) {
	r := &Request{}
	first := []byte(`{"model":"m","messages":` + conversation(9) + `,"stream":true,"max_tokens":5,"cache_salt":"s"}`)
	second := []byte(`{"model":"m","messages":[{"role":"user","content":"h\ni"}]}`)
	for _, body := range [][]byte{first, second} {
		if err := Scan(ChatCompletions, body, true, limits, r); err != nil {
			t.Fatal(err)
		}
	}
	if want := scan(t, ChatCompletions, string(second), true); !slices.Equal(r.Blocks, want.Blocks) || r.Stream || r.MaxTokens != 0 || r.CacheSalt != "" {
		t.Errorf("got %+v, want %+v", r, want)
	}
	if n := testing.AllocsPerRun(100, func() { _ = Scan(ChatCompletions, second, true, limits, r) }); n != 0 {
		t.Errorf("%v allocations per scan, want 0", n)
	}
	r.Reset()
	if r.Model != "" || len(r.Blocks) != 0 || cap(r.Blocks) == 0 {
		t.Errorf("after Reset: %+v", r)
	}
}

// FuzzScan holds Scan against encoding/json.
func FuzzScan(f *testing.F) {
	for _, body := range []string{
		`{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"max_tokens":7}`,
		`{"model":"\u006d\ud83d\ude00\ud83d \udc00","messages":[[[]],{"a":{}}],"stream":false,"max_tokens":1.5e3}`,
		`{"m\u006fdel":"é\\\"/\b\f","messages":[-0.0E-1,0,null,true,false,""],"stream":null,"max_completion_tokens":12}`,
		"{\"model\":\"\xff\xc3\",\"messages\":\"x\",\"model\":1}",
		"\t{ }\r\n", `{"messages":[1],"model":"a" `, `{"a":"0123456789abcdef\u0000"}`, "{\"a\":\"01234567\x00\"}",
		`{"model":"m","messages":[1],"max_tokens":99999999999999999999}`, `{"model":"m","messages":[1],"max_tokens":-1}`,
		`{"a":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got, cut Request
		err := Scan(ChatCompletions, body, true, Limits{MaxPromptBytes: 4096, BlockBytes: 16}, &got)
		errCut := Scan(ChatCompletions, body, false, Limits{MaxPromptBytes: 4096, BlockBytes: 16}, &cut)
		if err == nil && (errCut != nil || cut.Truncated || cut.Model != got.Model || !slices.Equal(cut.Blocks, got.Blocks)) {
			t.Fatalf("complete or not makes a difference: %+v, %+v %v", got, cut, errCut)
		}
		var want map[string]any
		valid := json.Unmarshal(body, &want) == nil && want != nil && depth(body) <= maxDepth && utf8.Valid(body)
		if len(body) > maxNumberBytes && valid != (err == nil) {
			return // it may have a longer number
		}
		var se *SyntaxError
		if errors.As(err, &se) == valid {
			t.Fatalf("valid JSON object: %t, Scan says %v", valid, err)
		}
		for n := range body {
			if err := Scan(ChatCompletions, body[:n], false, Limits{}, &cut); valid && errors.As(err, &se) {
				t.Fatalf("cut after %d bytes: %v", n, err)
			}
		}
		if err == nil {
			compare(t, &got, want)
		}
	})
}

func compare(t *testing.T, got *Request, want map[string]any) {
	t.Helper()
	if m, ok := want["model"].(string); !ok || m != got.Model {
		t.Errorf("model %q, want %v", got.Model, want["model"])
	}
	if got.Stream != (want["stream"] == true) {
		t.Errorf("stream %t, want %v", got.Stream, want["stream"])
	}
	limit := want["max_completion_tokens"]
	if limit == nil {
		limit = want["max_tokens"]
	}
	n, _ := limit.(float64)
	if n < 1 || n != math.Trunc(n) {
		n = 0
	}
	if n = min(n, 1<<63); float64(got.MaxTokens) != n {
		t.Errorf("max tokens %d, want %v", got.MaxTokens, limit)
	}
}

// depth is how deep a valid body nests.
func depth(body []byte) (deepest int) {
	d, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			d++
			deepest = max(deepest, d)
		case c == '}' || c == ']':
			d--
		}
	}
	return deepest
}

package usage_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/usage"
)

type answer struct {
	name string
	api  body.API
	body string
	want usage.Tokens
}

var none = usage.Unknown

var answers = []answer{
	{"chat events", body.ChatCompletions, "data: {\"choices\":[{\"delta\":{\"content\":\"the \\\"usage\\\": {\\\"prompt_tokens\\\":99}\"}}],\"usage\":null}\n\n" +
		"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":8}}}\n\ndata: [DONE]\n\n",
		usage.Tokens{Input: 12, Output: 3, Cached: 8}},
	{"CRLF and comments", body.ChatCompletions, ": hello {\r\n\r\nevent: x\r\nid: 7\r\ndata:{\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3}}\r\n\r\ndata: [DONE]\r\n\r\n",
		usage.Tokens{Input: 12, Output: 3, Cached: -1}},
	{"data in several lines", body.ChatCompletions, "data: {\"usage\":\nid: 3\ndata: {\"prompt_tokens\":12\ndata: ,\"completion_tokens\":3}\ndata: }\n\n",
		usage.Tokens{Input: 12, Output: 3, Cached: -1}},
	{"a broken event does not harm the next", body.ChatCompletions, "data: {\"choices\":[{\"text\":\"cut\n\ndata: {\"a\":[[[{\n\ndata: {\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3}}\n\n",
		usage.Tokens{Input: 2, Output: 3, Cached: -1}},
	{"usage in each event", body.Completions, "data: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1}}\n\ndata: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n",
		usage.Tokens{Input: 5, Output: 2, Cached: -1}},
	{"plain JSON", body.Completions, `{"id":"x", "usage" : { "prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5 }, "choices":[]}`,
		usage.Tokens{Input: 5, Output: 0, Cached: -1}},
	{"JSON in lines", body.Generate, "\n{\n\t\"choices\": [\n{}],\r\n  \"usage\": {\n \"prompt_tokens\":\n 5,\n\"completion_tokens\": 7\n}\n}\n",
		usage.Tokens{Input: 5, Output: 7, Cached: -1}},
	{"embeddings", body.Embeddings, `{"data":[{"embedding":[0.1,-2e-3]}],"usage":{"prompt_tokens":8,"total_tokens":8}}`,
		usage.Tokens{Input: 8, Output: -1, Cached: -1}},
	{"responses", body.Responses, `{"object":"response","usage":{"input_tokens":7,"output_tokens":9,"input_tokens_details":{"cached_tokens":0}}}`,
		usage.Tokens{Input: 7, Output: 9, Cached: 0}},
	{"responses events", body.Responses, "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\n" +
		"event: response.completed\ndata: {\"response\":{\"output\":[{\"usage\":{\"input_tokens\":1000}}],\"usage\":{\"input_tokens\":7,\"output_tokens\":9,\"input_tokens_details\":{\"cached_tokens\":4}}},\"type\":\"response.completed\"}\n\n",
		usage.Tokens{Input: 7, Output: 9, Cached: 4}},
	{"anthropic events", body.Messages, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,\"output_tokens\":1,\"cache_read_input_tokens\":16,\"cache_creation_input_tokens\":4}}}\n\n" +
		"event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":15}}\n\n",
		usage.Tokens{Input: 45, Output: 15, Cached: 16}},
	{"anthropic, zeros in the last event", body.Messages, "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n" +
		"data: {\"type\":\"message_delta\",\"usage\":{\"input_tokens\":0,\"output_tokens\":15}}\n\n",
		usage.Tokens{Input: 25, Output: 15, Cached: -1}},
	{"anthropic, a tool's arguments", body.Messages, `{"content":[{"type":"tool_use","input":{"usage":{"output_tokens":99,"cache_read_input_tokens":9}}}],"usage":{"input_tokens":3,"output_tokens":4}}`,
		usage.Tokens{Input: 3, Output: 4, Cached: -1}},
	{"sglang", body.SGLangGenerate, `{"text":"x","meta_info":{"finish_reason":{"type":"stop","prompt_tokens":77},"prompt_tokens":5,"completion_tokens":6,"cached_tokens":2}}`,
		usage.Tokens{Input: 5, Output: 6, Cached: 2}},
	{"sglang events", body.SGLangGenerate, "data: {\"meta_info\":{\"prompt_tokens\":5,\"completion_tokens\":1,\"cached_tokens\":2}}\n\ndata: {\"meta_info\":{\"prompt_tokens\":5,\"completion_tokens\":2,\"cached_tokens\":2}}\n\ndata: [DONE]\n\n",
		usage.Tokens{Input: 5, Output: 2, Cached: 2}},
	{"sglang, several prompts", body.SGLangGenerate, `[{"meta_info":{"prompt_tokens":5,"completion_tokens":1}},{"meta_info":{"prompt_tokens":6,"completion_tokens":2}}]`,
		usage.Tokens{Input: 11, Output: 3, Cached: -1}},
	{"grpc stream", body.GRPCGenerate, framed(
		field(1, join(number(2, 10), number(3, 1), number(4, 8), packed(1, 883336980))),
		field(1, join(number(2, 10), number(3, 1), number(4, 8), packed(1, 5, 700))),
		field(2, join(text(2, "stop"), number(3, 10), number(4, 1), number(5, 8)))),
		usage.Tokens{Input: 10, Output: 3, Cached: 8}},
	{"grpc stream with request ids", body.GRPCGenerate, framed(
		join(text(1, "cmpl-1 (x)"), field(2, join(packed(1, 4), number(2, 10), number(3, 1)))),
		join(text(1, "cmpl-1 (x)"), field(2, join(packed(1, 4), number(2, 10), number(3, 2)))),
		join(text(1, "cmpl-1 (x)"), field(3, join(packed(1, 4, 4), text(2, "stop"), number(3, 10), number(4, 2), number(5, 6))))),
		usage.Tokens{Input: 10, Output: 2, Cached: 6}},
	{"grpc with an empty request id", body.GRPCGenerate, framed(field(2, join(packed(1, 4, 4), number(2, 10), number(3, 2)))),
		usage.Tokens{Input: 10, Output: 2, Cached: 0}},
	{"grpc, not streamed", body.GRPCGenerate, framed(field(2, join(packed(1, 1, 2, 3), text(2, "length"), number(3, 20), number(4, 3)))),
		usage.Tokens{Input: 20, Output: 3, Cached: 0}},
	{"grpc, token ids that are not packed", body.GRPCGenerate, framed(field(1, join(number(1, 300), number(1, 4), number(2, 9)))),
		usage.Tokens{Input: 9, Output: 2, Cached: 0}},
	{"grpc error", body.GRPCGenerate, framed(join(text(1, "id"), field(4, text(1, "\x10\x05no")))), none},
	{"grpc, a length beyond the message", body.GRPCGenerate, framed("\x0a\x7f\x10\x05", "\x0a\x03\x10\x05"), none},
	{"grpc, a broken message before a whole one", body.GRPCGenerate, framed("\x0a\x02\x10\xff", "\x0b", field(1, number(2, 9))), usage.Tokens{Input: 9, Output: 0, Cached: 0}},
	{"grpc embed", body.GRPCEmbed, framed(join(field(1, strings.Repeat("\x10\x20\x30\x40", 300)), number(2, 10), number(3, 300))),
		usage.Tokens{Input: 10, Output: -1, Cached: -1}},
	{"grpc embed within a message", body.GRPCEmbed, framed(join(text(1, "id"), field(2, join(field(1, "\x10\x20\x30\x40"), number(2, 11), number(3, 1))))),
		usage.Tokens{Input: 11, Output: -1, Cached: -1}},
	{"vertex", body.VertexChat, framed(join(text(1, "application/json"), text(2, `{"usage":{"prompt_tokens":5,"completion_tokens":6}}`))),
		usage.Tokens{Input: 5, Output: 6, Cached: -1}},
	{"vertex stream", body.VertexRawPredict, framed(text(2, "data: {\"response\":{\"usage\":null}}\n\ndata: {\"respo"), text(2, "nse\":{\"usage\":{\"input_tokens\":5,\"output_tokens\":6}}}\n\n")),
		usage.Tokens{Input: 5, Output: 6, Cached: -1}},

	{"unknown API", body.Unknown, `{"usage":{"prompt_tokens":5}}`, none},
	{"counted tokens", body.CountTokens, `{"input_tokens":5,"usage":{"input_tokens":5}}`, none},
	{"other names", body.ChatCompletions, `{"choices":[],"usag":1,"u":"usage","Usage":{"prompt_tokens":1},"meta_info":{"prompt_tokens":1},"message":{"usage":{"prompt_tokens":1}}}`, none},
	{"unfinished", body.ChatCompletions, `{"usage":{"prompt_tokens":1`, none},
	{"escapes", body.ChatCompletions, `{"x\\":"usage\\","\"usage\"":{"prompt_tokens":1},"usage\":":{"prompt_tokens":2},"a":"}\\\"}","usage":{"note":"}{\"","prompt_tokens":4}}`,
		usage.Tokens{Input: 4, Output: -1, Cached: -1}},
	{"long strings", body.ChatCompletions, `{"` + strings.Repeat("k", 999) + `usage":{"prompt_tokens":1},"usage":{"x":"` + strings.Repeat("y", 2999) + `","prompt_tokens":4}}`,
		usage.Tokens{Input: 4, Output: -1, Cached: -1}},
	{"numbers of every kind", body.ChatCompletions, `{"usage":{"prompt_tokens":12.0,"completion_tokens":1e2,"prompt_tokens_details":{"cached_tokens":-1}}}`,
		usage.Tokens{Input: 12, Output: 100, Cached: -1}},
	{"numbers that are none", body.ChatCompletions, `{"usage":{"prompt_tokens":1.5,"completion_tokens":99999999999999999999,"prompt_tokens":null,"prompt_tokens":"7","prompt_tokens":{"a":1},"prompt_tokens":` + strings.Repeat("1", 5000) + `}}`, none},
	{"a value that is no usage", body.ChatCompletions, `{"usage":[{"prompt_tokens":1}],"usage":"x","usage":{"a":{"prompt_tokens":1},"b":[{"prompt_tokens":2}]}}`, none},
	{"deep", body.ChatCompletions, strings.Repeat(`{"usage":`, 9) + `{"prompt_tokens":1}` + strings.Repeat("}", 9), none},
}

func number(n protowire.Number, v uint64) string {
	return string(protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v))
}

func field(n protowire.Number, v string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), v))
}

func text(n protowire.Number, v string) string { return field(n, v) }

func packed(n protowire.Number, ids ...uint64) string {
	var b []byte
	for _, id := range ids {
		b = protowire.AppendVarint(b, id)
	}
	return field(n, string(b))
}

func join(fields ...string) string { return strings.Join(fields, "") }

func framed(messages ...string) string {
	var b []byte
	for _, m := range messages {
		b = append(binary.BigEndian.AppendUint32(append(b, 0), uint32(len(m))), m...)
	}
	return string(b)
}

func found(api body.API, pieces ...string) usage.Tokens {
	s := usage.New(api)
	for _, piece := range pieces {
		s.Write([]byte(piece))
	}
	return s.Found()
}

func TestUsage(t *testing.T) {
	for _, a := range answers {
		t.Run(a.name, func(t *testing.T) {
			if got := found(a.api, a.body); got != a.want {
				t.Fatalf("got %+v, want %+v", got, a.want)
			}
			for n := range a.body {
				if got := found(a.api, a.body[:n], a.body[n:]); got != a.want {
					t.Fatalf("cut after %d bytes: %+v, want %+v", n, got, a.want)
				}
			}
			for _, size := range []int{1, 2, 3, 7} {
				s := usage.New(a.api)
				for rest := []byte(a.body); len(rest) > 0; rest = rest[min(size, len(rest)):] {
					s.Write(rest[:min(size, len(rest))])
				}
				if got := s.Found(); got != a.want {
					t.Fatalf("in pieces of %d: %+v, want %+v", size, got, a.want)
				}
			}
		})
	}
}

// TestGarbage reads what is no answer: nothing is found, and nothing is kept.
func TestGarbage(t *testing.T) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write([]byte(`{"usage":{"prompt_tokens":5}}`)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	garbage := map[string][]byte{
		"gzip":            zipped.Bytes(),
		"noise":           noise,
		"open brackets":   bytes.Repeat([]byte("[{"), 1<<17),
		"closed brackets": bytes.Repeat([]byte("]}"), 1<<17),
		"a string":        append([]byte(`{"usage":{"a":"`), bytes.Repeat([]byte("x"), 1<<18)...),
		"a number":        append([]byte(`{"usage":{"prompt_tokens":`), bytes.Repeat([]byte("1"), 1<<18)...),
		"a key":           append([]byte(`{"usage":{"`), bytes.Repeat([]byte("k"), 1<<18)...),
		"a long frame":    append([]byte("\x00\xff\xff\xff\xff\x0a\xff\xff\xff\xff\x0f"), bytes.Repeat([]byte("x"), 1<<18)...),
		"compressed":      []byte("\x01" + framed(field(2, number(2, 7)))[1:]),
		"long varints":    append([]byte("\x00\x00\x10\x00\x00"), bytes.Repeat([]byte{0xff}, 1<<18)...),
		"groups":          []byte(framed("\x0b\x0b\x0b", field(1, "\x0b"), "\x00")),
	}
	for name, text := range garbage {
		for api := range body.Detect {
			s := usage.New(api)
			kept := testing.AllocsPerRun(1, func() { // which calls it twice
				s.Write(text)
			})
			if got := s.Found(); got != none && name != "noise" {
				t.Errorf("%s, %s: found %+v", name, api, got)
			}
			if kept > 0 {
				t.Errorf("%s, %s: %v allocations", name, api, kept)
			}
		}
	}
}

func TestHundredMegabytesOfGarbage(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = "{}[]\":,\\ \nx1"[rng.IntN(12)]
	}
	for _, api := range []body.API{body.ChatCompletions, body.GRPCGenerate} {
		s := usage.New(api)
		if kept := testing.AllocsPerRun(1, func() {
			for range 50 {
				s.Write(noise)
			}
		}); kept > 0 {
			t.Errorf("%s: %v allocations", api, kept)
		}
	}
}

func TestCompressedMessagesAreSkipped(t *testing.T) {
	plain := framed(field(2, join(text(2, "stop"), number(3, 10), number(4, 1))))
	compressed := "\x01" + framed(field(2, join(text(2, "stop"), number(3, 99), number(4, 99))))[1:]
	want := usage.Tokens{Input: 10, Output: 1, Cached: 0}
	if got := found(body.GRPCGenerate, compressed+plain+compressed); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFromProxy(t *testing.T) {
	message := join(text(1, "x"), field(3, number(1, 12)), field(4, ""), field(6, field(1, number(1, 5))))
	if got, want := usage.FromProxy([]byte(message)), (usage.Tokens{Input: 12, Output: 0, Cached: 5}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for n := range message {
		usage.FromProxy([]byte(message[:n])) // must not panic
	}
	if got := usage.FromProxy(nil); got != none {
		t.Errorf("of nothing: %+v", got)
	}
	if got := usage.FromProxy([]byte(field(3, number(1, 1<<63)))); got.Input != -1 {
		t.Errorf("of nonsense: %+v", got)
	}
}

func TestMerge(t *testing.T) {
	tokens := usage.Tokens{Input: 5, Output: -1, Cached: 3}
	tokens.Merge(usage.Tokens{Input: -1, Output: 2, Cached: 0})
	if want := (usage.Tokens{Input: 5, Output: 2, Cached: 0}); tokens != want {
		t.Errorf("got %+v, want %+v", tokens, want)
	}
}

// FuzzUsage checks that the way an answer is cut makes no difference, and that none makes it fail.
func FuzzUsage(f *testing.F) {
	for _, a := range answers {
		if len(a.body) < 4096 {
			f.Add(uint8(a.api), []byte(a.body), 3)
		}
	}
	f.Fuzz(func(t *testing.T, api uint8, text []byte, size int) {
		if size <= 0 {
			return
		}
		whole, pieces := usage.New(body.API(api%uint8(body.Detect))), usage.New(body.API(api%uint8(body.Detect)))
		whole.Write(text)
		for rest := text; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			pieces.Write(rest[:min(size, len(rest))])
		}
		got := whole.Found()
		if got != pieces.Found() {
			t.Fatalf("whole %+v, in pieces of %d %+v", got, size, pieces.Found())
		}
		if got.Input < -1 || got.Output < -1 || got.Cached < -1 {
			t.Fatalf("negative counts: %+v", got)
		}
	})
}

func BenchmarkEvents(b *testing.B) {
	event := []byte("data: {\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n")
	s := usage.New(body.ChatCompletions)
	b.SetBytes(int64(len(event)))
	b.ReportAllocs()
	for b.Loop() {
		s.Write(event)
	}
}

package body

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func number(n protowire.Number, v uint64) string {
	return string(protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v))
}

func bytesField(n protowire.Number, v string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), v))
}

func ids(n int) string {
	var b []byte
	for i := range n {
		b = protowire.AppendVarint(b, uint64(i*i%128_000))
	}
	return bytesField(2, bytesField(1, "original text")+bytesField(2, string(b)))
}

func frame(message string) string {
	return string(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...))
}

func TestScanFrames(t *testing.T) {
	double := protowire.AppendFixed64(protowire.AppendTag(nil, 9, protowire.Fixed64Type), 7)
	sampling := bytesField(4, string(double)+number(8, 77)+number(9, 3))
	inner := `{"model":"m","messages":[{"content":[{"image_url":"u"}]}],"stream":true,"max_tokens":5,"cache_salt":"s"}`
	for _, tc := range []struct {
		name    string
		api     API
		message string
		want    Request
	}{
		{"text", GRPCGenerate, bytesField(1, "id") + bytesField(3, "hello world") + sampling + number(5, 1), Request{PromptBytes: 12, MaxTokens: 77, Stream: true}},
		{"tokens", GRPCGenerate, ids(100) + number(5, 0), Request{PromptBytes: 400}},
		{"tokens that are not packed", GRPCGenerate, bytesField(2, number(2, 300)+number(2, 5)), Request{PromptBytes: 8}},
		{"no tokens", GRPCGenerate, bytesField(2, ""), Request{}},
		{"the last input counts", GRPCGenerate, ids(100) + bytesField(3, "hello"), Request{PromptBytes: 8}},
		{"images", GRPCGenerate, ids(9) + bytesField(7, bytesField(5, "")+bytesField(5, number(1, 4))+bytesField(6, "hash")), Request{PromptBytes: 36, Images: 2, Multimodal: true}},
		{"embed", GRPCEmbed, bytesField(1, "id") + ids(3), Request{PromptBytes: 12}},
		{"vertex", VertexChat, bytesField(1, "endpoint") + bytesField(2, bytesField(1, "application/json")+bytesField(2, inner)),
			Request{Model: "m", Stream: true, MaxTokens: 5, CacheSalt: "s", Images: 1, Multimodal: true, PromptBytes: 900}},
		{"vertex, no model", VertexRawPredict, bytesField(2, bytesField(2, `{"input":"x","max_output_tokens":9}`)), Request{MaxTokens: 9, PromptBytes: len(`[{"input":"x"}]`) + 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			body := frame(tc.message)
			got := scan(t, tc.api, body, true)
			tc.want.API = tc.api
			if describe(got) != describe(&tc.want) || got.ModelEnd != 0 {
				t.Errorf("got  %s\nwant %s", describe(got), describe(&tc.want))
			}
			if after := scan(t, tc.api, body+"\x00\x00\x00\x00\x01x", true); !slices.Equal(after.Blocks, got.Blocks) {
				t.Error("what follows the message changes what is read")
			}
			for n := range len(body) {
				r := &Request{}
				if err := Scan(tc.api, []byte(body[:n]), false, limits, r); err != nil || !r.Truncated {
					t.Fatalf("cut after %d bytes: truncated %t, %v", n, r.Truncated, err)
				}
				if tc.name != "the last input counts" && (len(r.Blocks) > len(got.Blocks) || !slices.Equal(r.Blocks, got.Blocks[:len(r.Blocks)])) {
					t.Fatalf("cut after %d bytes: blocks are not a beginning of the whole body's", n)
				}
				if err := Scan(tc.api, []byte(body[:n]), true, limits, r); err == nil {
					t.Fatalf("cut after %d bytes: accepted as a whole body", n)
				}
			}
		})
	}
}

func describe(r *Request) string {
	return fmt.Sprint(r.API, r.Model, r.Stream, r.MaxTokens, r.PromptBytes, r.CacheSalt, r.Truncated, r.Images, r.Videos, r.Audios, r.Multimodal)
}

func TestFrameErrors(t *testing.T) {
	const payload = "invalid or unsupported gRPC payload: "
	for _, tc := range []struct {
		api     API
		body    string
		message string
	}{
		{GRPCGenerate, "", payload + "invalid gRPC frame: expected at least 5 bytes for header, got 0"},
		{GRPCGenerate, "\x00\x00\x00", payload + "invalid gRPC frame: expected at least 5 bytes for header, got 3"},
		{GRPCEmbed, "\x00\x00\x00\x00\x09abc", payload + "incomplete gRPC payload: header indicates 9 bytes, but only 3 bytes are available"},
		{GRPCEmbed, "\x00\xff\xff\xff\xff", payload + "incomplete gRPC payload: header indicates 4294967295 bytes, but only 0 bytes are available"},
		{VertexChat, "\x01\x00\x00\x00\x00", payload + "compressed gRPC payload is not supported"},
		{GRPCGenerate, frame(""), "not supported request inputType"},
		{GRPCGenerate, frame("\x0b"), "unmarshaling GenerateRequest: malformed protobuf message"},
		{GRPCGenerate, frame(bytesField(2, "\x12\x09a")), "unmarshaling GenerateRequest: malformed protobuf message"},
		{GRPCEmbed, frame(bytesField(3, "text")), "missing tokenized input in EmbedRequest"},
		{VertexChat, frame(""), "ChatCompletionsRequest has no HttpBody"},
		{VertexChat, frame("\x12\x09a"), "unmarshaling ChatCompletionsRequest: malformed protobuf message"},
		{VertexChat, frame(bytesField(2, "\x12\x09a")), "unmarshaling ChatCompletionsRequest: malformed protobuf message"},
		{VertexRawPredict, frame(bytesField(2, bytesField(2, `{}`))), "parsing RawPredictRequest: invalid responses request: must have input field"},
		{VertexChat, frame(bytesField(2, "")), "parsing ChatCompletionsRequest: error unmarshaling request bodyMap: unexpected end of JSON input at byte 0"},
	} {
		err := Scan(tc.api, []byte(tc.body), true, limits, &Request{})
		if err == nil || err.Error() != tc.message {
			t.Errorf("%s %q: %v, want %s", tc.api, tc.body, err, tc.message)
		}
	}
	if err := Scan(GRPCGenerate, []byte{1}, false, limits, &Request{}); err == nil {
		t.Error("a compressed message is accepted when it is cut")
	}
}

// TestTokenBlocks checks that blocks of token ids are as many tokens as blocks have, in either form.
func TestTokenBlocks(t *testing.T) {
	list := func(n int) string {
		return strings.TrimSuffix(strings.Repeat("7,", n/2)+strings.Repeat("123456 , ", n-n/2), ", ")
	}
	for n := 1; n < 400; n++ {
		want := (n + 15) / 16 // of 64 bytes: 16 tokens
		for name, r := range map[string]*Request{
			"JSON":     scan(t, Generate, `{"token_ids":[`+strings.TrimRight(list(n), ", ")+`]}`, true),
			"of lists": scan(t, Completions, `{"model":"m","prompt":[[`+strings.TrimRight(list(n), ", ")+`]]}`, true),
			"packed":   scan(t, GRPCGenerate, frame(ids(n)), true),
		} {
			if len(r.Blocks) != want || r.PromptBytes != 4*n {
				t.Fatalf("%s, %d tokens: %d blocks and %d bytes, want %d and %d", name, n, len(r.Blocks), r.PromptBytes, want, 4*n)
			}
		}
	}
	short := Limits{MaxPromptBytes: 200, BlockBytes: 64}
	for _, n := range []int{30, 47, 48, 49, 500} {
		r := &Request{}
		if err := Scan(GRPCGenerate, []byte(frame(ids(n))), true, short, r); err != nil {
			t.Fatal(err)
		}
		if want := map[int]int{47: 3, 48: 3, 49: 3, 500: 3, 30: 2}[n]; len(r.Blocks) != want || r.PromptBytes != 4*n {
			t.Errorf("%d tokens with room for three blocks: %d blocks, want %d; %d bytes", n, len(r.Blocks), want, r.PromptBytes)
		}
	}
	a, b := scan(t, GRPCGenerate, frame(ids(100)), true), scan(t, GRPCGenerate, frame(ids(120)), true)
	if !slices.Equal(a.Blocks[:6], b.Blocks[:6]) || a.Blocks[6] == b.Blocks[6] {
		t.Error("a prompt that grows does not keep its blocks")
	}
}

// FuzzFrame checks that no message makes the scan fail, and that a cut one is told from a broken one.
func FuzzFrame(f *testing.F) {
	for _, message := range []string{ids(20) + number(5, 1), bytesField(3, "text"), bytesField(2, bytesField(2, `{"messages":[1],"input":"x"}`)), "\x0b\x0c", ""} {
		for api := GRPCGenerate; api.framed(); api++ {
			f.Add(uint8(api), []byte(frame(message)))
		}
	}
	f.Fuzz(func(t *testing.T, api uint8, body []byte) {
		a := GRPCGenerate + API(api)%4
		var r, cut Request
		if err := Scan(a, body, true, limits, &r); err != nil {
			var fe *FieldError
			var se *SyntaxError
			if !errors.As(err, &fe) && !errors.As(err, &se) {
				t.Fatalf("%T", err)
			}
			return
		}
		if err := Scan(a, body, false, limits, &cut); err != nil || describe(&cut) != describe(&r) {
			t.Fatalf("complete or not makes a difference: %v", err)
		}
		for n := range body[:5+binary.BigEndian.Uint32(body[1:])] {
			if err := Scan(a, body[:n], false, limits, &cut); err != nil {
				t.Fatalf("cut after %d bytes: %v", n, err)
			}
		}
	})
}

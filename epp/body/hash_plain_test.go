package body

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"image/png"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/switchyard/switchyard/epp/prefix"
)

// keysOf is what the index is asked for: keys of the prompts of a body that a model is asked with.
func keysOf(r *Request, model string) []uint64 {
	return prefix.Chain(nil, prefix.Seed(model, r.CacheSalt), r.Blocks, r.Prompts...)
}

// plainKeys makes the keys of prompts, each a list of tokens, as the specification words it.
func plainKeys(model, salt string, prompts [][]uint32, blockTokens, most int) (keys []uint64) {
	for _, prompt := range prompts {
		before := xxhash.Sum64String(model + salt)
		for len(prompt) > 0 && len(keys) < most {
			n := min(blockTokens, len(prompt))
			var content []byte
			for _, token := range prompt[:n] {
				content = binary.LittleEndian.AppendUint32(content, token)
			}
			pair := binary.LittleEndian.AppendUint64(nil, xxhash.Sum64(content))
			before = xxhash.Sum64(binary.LittleEndian.AppendUint64(pair, before))
			keys, prompt = append(keys, before), prompt[n:]
		}
	}
	return keys
}

// plainPrompts decodes a body with encoding/json and makes the prompts of it.
func plainPrompts(t *testing.T, api API, body string) (model, salt string, prompts [][]uint32) {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	model, salt = decoded[string](all["model"]), decoded[string](all["cache_salt"])
	prompt := &plainPrompt{}
	var tools []any
	switch api {
	case Responses:
		list := []byte("[")
		for _, name := range []string{"instructions", "tools", "input"} {
			if raw := all[name]; raw != nil && !(name == "tools" && len(decoded[[]any](raw)) == 0) {
				if len(list) > 1 {
					list = append(list, ',')
				}
				list = append(append(append(list, `{"`+name+`":`...), raw...), '}')
			}
		}
		return model, salt, [][]uint32{pack(append(list, ']'))}
	case Embeddings:
		return model, salt, [][]uint32{pack(all["input"])}
	case Generate:
		return model, salt, [][]uint32{decoded[[]uint32](all["token_ids"])}
	case Completions:
		if json.Unmarshal(all["prompt"], &tools) != nil {
			return model, salt, [][]uint32{pack([]byte(decoded[string](all["prompt"])))}
		}
		for _, one := range decoded[[]json.RawMessage](all["prompt"]) {
			switch one[0] {
			case '"':
				prompts = append(prompts, pack([]byte(decoded[string](one))))
			case '[':
				prompts = append(prompts, decoded[[]uint32](one))
			default:
				return model, salt, [][]uint32{decoded[[]uint32](all["prompt"])}
			}
		}
		return model, salt, prompts
	}
	if json.Unmarshal(all["tools"], &tools) == nil && len(tools) > 0 {
		prompt.text = append(prompt.text, all["tools"]...)
	}
	if api == Messages {
		prompt.content(t, all["system"])
	}
	for _, message := range decoded[[]map[string]json.RawMessage](all["messages"]) {
		prompt.text = append(prompt.text, decoded[string](message["role"])...)
		prompt.content(t, message["content"])
	}
	return model, salt, [][]uint32{pack(prompt.text)}
}

type plainPrompt struct{ text []byte }

func (p *plainPrompt) content(t *testing.T, raw json.RawMessage) {
	t.Helper()
	var parts []map[string]json.RawMessage
	if json.Unmarshal(raw, &parts) != nil {
		p.text = append(p.text, decoded[string](raw)...)
		return
	}
	for _, part := range parts {
		switch decoded[string](part["type"]) {
		case "text":
			if text := decoded[string](part["text"]); !strings.HasPrefix(text, "x-anthropic-billing-header") {
				p.text = append(p.text, text...)
			}
		case "thinking":
			p.text = append(p.text, decoded[string](part["thinking"])...)
		case "tool_use":
			p.text = append(append(append(p.text, decoded[string](part["id"])...), decoded[string](part["name"])...), part["input"]...)
		case "tool_result":
			var lines []string
			var results []map[string]string
			if json.Unmarshal(part["content"], &results) != nil {
				lines = []string{decoded[string](part["content"])}
			}
			for _, result := range results {
				lines = append(lines, result["text"])
			}
			p.text = append(p.text, strings.Join(lines, "\n")...)
		case "image":
			p.image(t, decoded[map[string]string](part["source"])["data"])
		case "image_url":
			p.image(t, decoded[map[string]string](part["image_url"])["url"])
		default:
			t.Fatalf("part %s", part)
		}
	}
}

// image adds a placeholder for each 1024 pixels.
func (p *plainPrompt) image(t *testing.T, payload string) {
	t.Helper()
	width, height := 640, 360
	if _, data, ok := strings.Cut(payload, "base64,"); ok {
		config, err := png.DecodeConfig(bytes.NewReader(fromBase64(t, data)))
		if err != nil {
			t.Fatal(err)
		}
		width, height = config.Width, config.Height
	}
	for len(p.text)%4 != 0 {
		p.text = append(p.text, 0)
	}
	for range max(width*height/1024, 1) {
		p.text = binary.LittleEndian.AppendUint32(p.text, uint32(xxhash.Sum64String(payload)))
	}
}

func fromBase64(t *testing.T, data string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// pack makes tokens of text.
func pack(text []byte) (tokens []uint32) {
	for len(text) > 0 {
		var four [4]byte
		text = text[copy(four[:], text):]
		tokens = append(tokens, binary.LittleEndian.Uint32(four[:]))
	}
	return tokens
}

func decoded[T any](raw json.RawMessage) (value T) {
	_ = json.Unmarshal(raw, &value)
	return value
}

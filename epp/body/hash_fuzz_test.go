package body

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// randomBody makes a chat with everything in random order and random escapes. Its messages come last when it is to be cut.
type randomBody struct {
	*rand.Rand
	b strings.Builder
}

func (r *randomBody) text(n int) {
	r.b.WriteByte('"')
	for range n {
		switch c := rune(0x80 + r.IntN(0x20000)); r.IntN(12) { // control characters, quotes and backslashes would need an escape
		case 0:
			fmt.Fprintf(&r.b, `\u%04x`, r.IntN(0x10000))
		case 1:
			fmt.Fprintf(&r.b, `\ud8%02X\udc%02x`, r.IntN(256), r.IntN(256))
		case 2:
			r.b.WriteString([]string{`\n`, `\"`, `\\`, `\/`, `\t`, `\b`, `\f`, `\r`}[r.IntN(8)])
		case 3:
			r.b.WriteString(strings.ToValidUTF8(string(c), ""))
		default:
			r.b.WriteString("some words of a text that is longer than a step"[:r.IntN(48)])
		}
	}
	r.b.WriteByte('"')
}

// members writes an object in random order.
func (r *randomBody) members(write map[string]func()) {
	names := make([]string, 0, len(write))
	for name := range write {
		names = append(names, name)
	}
	slices.Sort(names)
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	r.b.WriteString("{")
	for i, name := range names {
		if i > 0 {
			r.b.WriteString([]string{",", " ,", ",\n"}[r.IntN(3)])
		}
		fmt.Fprintf(&r.b, "%q: ", name)
		write[name]()
	}
	r.b.WriteString("}")
}

func (r *randomBody) list(n int, write func()) {
	r.b.WriteString("[")
	for i := range n {
		if i > 0 {
			r.b.WriteString(",")
		}
		write()
	}
	r.b.WriteString("]")
}

func (r *randomBody) literal(s string) func() { return func() { r.b.WriteString(s) } }

func (r *randomBody) message() {
	r.members(map[string]func(){
		"role": func() { r.text(r.IntN(3)) },
		"name": func() { r.text(1) },
		"content": func() {
			if r.IntN(2) == 0 {
				r.text(r.IntN(60))
				return
			}
			r.list(r.IntN(4), func() {
				if r.IntN(4) > 0 {
					r.members(map[string]func(){"type": r.literal(`"text"`), "text": func() { r.text(r.IntN(30)) }})
					return
				}
				r.members(map[string]func(){"type": r.literal(`"image_url"`), "image_url": func() { r.members(map[string]func(){"url": func() { r.text(2) }}) }})
			})
		},
	})
}

func (r *randomBody) tools() {
	r.list(r.IntN(3), func() {
		r.members(map[string]func(){"name": func() { r.text(3) }, "messages": func() { r.text(1) }})
	})
}

// FuzzHash compares keys with those of the straightforward way, of whole bodies and of their beginnings.
func FuzzHash(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed, uint8(seed%70), uint16(seed*37))
	}
	f.Fuzz(func(t *testing.T, seed uint64, blockTokens uint8, end uint16) {
		r := &randomBody{Rand: rand.New(rand.NewPCG(seed, 1))}
		messages := func() { r.list(r.IntN(6), r.message); r.b.WriteString(" ") }
		tools := seed%2 == 0
		if tools {
			r.members(map[string]func(){"model": r.literal(`"m"`), "stream": r.literal("true"), "tools": r.tools, "messages": messages, "cache_salt": func() { r.text(1) }})
		} else {
			r.members(map[string]func(){"model": r.literal(`"m"`), "messages": messages, "n": r.literal("[1, {}]")})
		}
		text := r.b.String()
		limits := Limits{MaxPromptBytes: 1 << 20, BlockBytes: 4 * max(int(blockTokens), 1)}
		var whole, cut Request
		if err := Scan(ChatCompletions, []byte(text), true, limits, &whole); err != nil {
			if strings.Contains(err.Error(), "at least one message") {
				return
			}
			t.Fatalf("%v: %s", err, text)
		}
		model, salt, prompts := plainPrompts(t, ChatCompletions, text)
		want := plainKeys(model, salt, prompts, limits.BlockBytes/4, 1<<20)
		if got := keysOf(&whole, model); whole.CacheSalt != salt || !slices.Equal(got, want) {
			t.Fatalf("got %x, want %x: %s", short(got), short(want), text)
		}
		if tools {
			return
		}
		n := int(end) % (len(text) + 1)
		if err := Scan(ChatCompletions, []byte(text[:n]), false, limits, &cut); err != nil {
			t.Fatalf("cut after %d bytes: %v: %s", n, err, text)
		}
		if len(cut.Blocks) > len(whole.Blocks) || !slices.Equal(cut.Blocks, whole.Blocks[:len(cut.Blocks)]) {
			t.Fatalf("cut after %d bytes, the blocks are not a beginning of the whole body's: %s", n, text)
		}
	})
}

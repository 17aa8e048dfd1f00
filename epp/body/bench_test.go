package body

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
)

var benchLimits = Limits{MaxPromptBytes: 1 << 20, BlockBytes: 256}

// chatBody is a conversation of about size bytes: turns of English-like text, with a line break about every 80 bytes.
func chatBody(size int) []byte {
	rng := rand.New(rand.NewPCG(3, 4))
	words := strings.Fields("the of a model server prefix cache request token blocks answer picks queue and then again for each one")
	var b strings.Builder
	b.WriteString(`{"model":"meta-llama/Llama-3.1-8B-Instruct","stream":true,"max_tokens":100,"messages":[`)
	for turn := 0; b.Len() < size; turn++ {
		if turn > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"role":%q,"content":"`, []string{"user", "assistant"}[turn%2])
		for n := 0; n < 4000 && b.Len() < size; {
			w := words[rng.IntN(len(words))]
			b.WriteString(w)
			if n/80 != (n+len(w)+1)/80 {
				b.WriteString(`\n`)
			} else {
				b.WriteByte(' ')
			}
			n += len(w) + 1
		}
		b.WriteString(`"}`)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

func benchScan(b *testing.B, api API, body []byte) {
	r := &Request{}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Scan(api, body, true, benchLimits, r); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(r.Blocks)), "blocks")
}

func BenchmarkScanChat500kB(b *testing.B) { benchScan(b, ChatCompletions, chatBody(500_000)) }

func BenchmarkScanChat1kB(b *testing.B) { benchScan(b, ChatCompletions, chatBody(1000)) }

func BenchmarkScanSmall(b *testing.B) {
	benchScan(b, ChatCompletions, []byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"max_tokens":7}`))
}

// BenchmarkScanEscaped is source code as a prompt: an escape about every 12 bytes.
func BenchmarkScanEscaped(b *testing.B) {
	benchScan(b, Completions, []byte(`{"model":"m","prompt":"`+strings.Repeat(`if x == \"y\" {\n\treturn nil\n}\n`, 15_000)+`"}`))
}

func BenchmarkScanTokenIDs500kB(b *testing.B) {
	rng := rand.New(rand.NewPCG(5, 6))
	var ids strings.Builder
	for ids.Len() < 500_000 {
		fmt.Fprintf(&ids, "%d,", rng.IntN(128_000))
	}
	benchScan(b, Generate, []byte(`{"token_ids":[`+ids.String()+`1]}`))
}

// BenchmarkHashOnly500kB is the floor of the hashing part.
func BenchmarkHashOnly500kB(b *testing.B) {
	body := chatBody(500_000)
	b.SetBytes(int64(len(body)))
	var sum uint64
	for b.Loop() {
		for p := body; len(p) >= 256; p = p[256:] {
			sum += xxhash.Sum64(p[:256])
		}
	}
	_ = sum
}

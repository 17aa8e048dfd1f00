package sim

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// nowhere is a response that costs nothing.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}
func (n nowhere) Flush()                      {}

// BenchmarkPage is one scrape, without the network.
func BenchmarkPage(b *testing.B) {
	s := New(Config{})
	b.ReportAllocs()
	for b.Loop() {
		s.serveMetrics(nowhere{make(http.Header)}, nil)
	}
}

// BenchmarkStreamedToken is one token of a streamed answer, without the network.
func BenchmarkStreamedToken(b *testing.B) {
	s := New(Config{TimeScale: Instant, CacheBlocks: 1 << 30})
	const tokens = 1000
	body := `{"model":"` + DefaultModel + `","prompt":"hello","stream":true,"max_tokens":1000}`
	b.ReportAllocs()
	for b.Loop() {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "/v1/completions", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		s.ServeHTTP(nowhere{make(http.Header)}, r)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/tokens, "ns/token")
	if n := s.Stats().GenerationTokens; n < tokens {
		b.Fatalf("%d tokens", n)
	}
}

// BenchmarkLargePrompt is a request of 100 000 tokens, without the network.
func BenchmarkLargePrompt(b *testing.B) {
	s := New(Config{TimeScale: Instant})
	body := `{"model":"` + DefaultModel + `","messages":[{"role":"user","content":"` + text('a', 100_000) + `"}],"max_tokens":1}`
	b.ReportAllocs()
	for b.Loop() {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "/v1/chat/completions", io.NopCloser(strings.NewReader(body)))
		if err != nil {
			b.Fatal(err)
		}
		s.ServeHTTP(nowhere{make(http.Header)}, r)
	}
	if s.Stats().Succeeded == 0 {
		b.Fatal("no request succeeded")
	}
}

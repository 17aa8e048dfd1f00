package producer_test

import (
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/scheduling/producer"
)

// BenchmarkMediaOf walks over a chat with an image of 1 MB.
func BenchmarkMediaOf(b *testing.B) {
	body := []byte(`{"model":"m","messages":[{"content":[{"type":"text","text":"what is this?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,` +
		strings.Repeat("iVBORw0K", 1<<17) + `"}}]}]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		producer.MediaOf(body)
	}
}

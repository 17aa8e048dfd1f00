package extproc_test

import (
	"fmt"
	"testing"
)

// TestRowsVideoHints: what a client says of its videos decides what they count as while they are in flight, and is not sent on.
func TestRowsVideoHints(t *testing.T) {
	inBoth(t, settings{endpoints: 1}, func(t *testing.T, p *picker, protocol string) {
		for i, c := range []struct {
			headers []string
			want    int64
		}{
			{nil, 4500},
			{[]string{"x-llm-d-video-duration-seconds", "60"}, 120 * 225},
			{[]string{"x-llm-d-video-resolution", "1280x720"}, 20 * 900},
			{[]string{"x-llm-d-video-fps", "0.5"}, 5 * 225},
			{[]string{"x-llm-d-video-fps", "30", "x-llm-d-video-duration-seconds", "12.5", "x-llm-d-video-resolution", "1920x1080"}, 25 * 2025},
			{[]string{"x-llm-d-video-fps", "?", "x-llm-d-video-duration-seconds", "-1", "x-llm-d-video-resolution", "720p"}, 4500},
			{[]string{"x-llm-d-video-duration-seconds", "1e300"}, 131072},
		} {
			video := fmt.Sprintf(`{"model":"m","messages":[{"content":[{"type":"video_url","video_url":{"url":"https://example.com/%d"}}]}]}`, i)
			s, got := p.ask(protocol, post(chatPath, video, c.headers...))
			if got.refusal != nil {
				t.Fatalf("%v: refused with %v", c.headers, got.refusal)
			}
			if _, tokens := p.totalInFlight(); tokens != c.want {
				t.Errorf("%v: %d tokens in flight, want %d", c.headers, tokens, c.want)
			}
			for i := 0; i < len(c.headers); i += 2 {
				if value, set := got.set[c.headers[i]]; set {
					t.Errorf("%s is set to %q on the way to the server", c.headers[i], value)
				}
			}
			s.finish()
			p.expectIdle()
		}
	})
}

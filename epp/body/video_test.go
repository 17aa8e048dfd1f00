package body

import (
	"strings"
	"testing"
)

func TestVideoTokens(t *testing.T) {
	for name, c := range map[string]struct {
		seconds, fps, resolution string
		want                     int
	}{
		"nothing said":         {"", "", "", 4500}, // 20 frames of 225
		"all":                  {"12.5", "30", "1920x1080", 25 * 2025},
		"length":               {"60", "", "", 120 * 225},
		"size":                 {"", "", "1280x720", 20 * 900},
		"capital letter":       {"", "", "1280X720", 20 * 900},
		"spaces":               {" 1 ", " 1 ", " 64 x 32 ", 2},
		"one frame a second":   {"10", "1", "", 10 * 225},
		"a frame in ten":       {"60", "0.1", "", 6 * 225},
		"as many as are taken": {"10", "2", "", 20 * 225},
		"part of a second":     {"0.75", "", "", 225},
		"shorter than a frame": {"0.1", "", "1920x1080", 1},
		"small":                {"0.5", "", "8x8", 1},
		"large":                {"1", "", "7680x4320", 2 * 32400},

		"a day":             {"86400", "", "", maxVideoTokens},
		"beyond all":        {"1e300", "1e300", "2147483647x2147483647", maxVideoTokens},
		"too large a frame": {"0.5", "", "2147483647x2147483647", maxVideoTokens},
		"next to nothing":   {"1e-300", "1e-300", "1x1", 1},

		"no numbers":        {"ten", "thirty", "wide", 4500},
		"nothing":           {"0", "0", "0x0", 4500},
		"below nothing":     {"-1", "-30", "-640x-360", 4500},
		"no number":         {"NaN", "NaN", "NaNxNaN", 4500},
		"infinite":          {"Inf", "+Inf", "1e3x1e3", 4500},
		"too long":          {"1e999", strings.Repeat("9", 400), strings.Repeat("9", 400) + "x1", 4500},
		"one side":          {"", "", "1280x", 4500},
		"the other side":    {"", "", "x720", 4500},
		"three sides":       {"", "", "1280x720x3", 4500},
		"a side too large":  {"", "", "2147483648x1", 4500},
		"in words":          {"", "", "720p", 4500},
		"each by itself, 1": {"?", "?", "1280x720", 20 * 900},
		"each by itself, 2": {"1", "?", "?", 2 * 225},
		"each by itself, 3": {"?", "1", "?", 10 * 225},
	} {
		t.Run(name, func(t *testing.T) {
			if got := VideoTokens([]byte(c.seconds), []byte(c.fps), []byte(c.resolution)); got != c.want {
				t.Errorf("%d tokens, want %d", got, c.want)
			}
		})
	}
}

// TestVideosCountAsToldOrAssumed looks at each video, and at nothing but videos.
func TestVideosCountAsToldOrAssumed(t *testing.T) {
	const chat = `{"model":"m","messages":[{"content":[{"type":"video_url","video_url":{"url":"v"}},{"type":"image_url","image_url":{"url":"i"}},
		{"type":"input_audio","input_audio":{"data":"a"}},{"type":"video_url","video_url":{"url":"w"}}]}]}`
	for _, c := range []struct{ told, each int }{{0, 4500}, {1, 1}, {2025, 2025}, {maxVideoTokens, maxVideoTokens}} {
		r, told := &Request{}, limits
		told.VideoTokens = c.told
		if err := Scan(ChatCompletions, []byte(chat), true, told, r); err != nil {
			t.Fatal(err)
		}
		if want := (2*c.each + 2*defaultTokens) * tokenBytes; r.PromptBytes != want {
			t.Errorf("told %d: %d prompt bytes, want %d", c.told, r.PromptBytes, want)
		}
		if want := min(r.PromptBytes, told.MaxPromptBytes) / told.BlockBytes; len(r.Blocks) < want || len(r.Blocks) > want+1 {
			t.Errorf("told %d: %d blocks of %d bytes", c.told, len(r.Blocks), r.PromptBytes)
		}
	}
}

// TestOneVideoOfTwoLengths has the same beginning.
func TestOneVideoOfTwoLengths(t *testing.T) {
	blocks := func(tokens int, url string) []uint64 {
		r, told := &Request{}, limits
		told.VideoTokens = tokens
		body := `{"model":"m","messages":[{"content":[{"type":"video_url","video_url":{"url":"` + url + `"}}]}]}`
		if err := Scan(ChatCompletions, []byte(body), true, told, r); err != nil {
			t.Fatal(err)
		}
		return r.Blocks
	}
	short, long, other := blocks(64, "v"), blocks(128, "v"), blocks(128, "w")
	if len(long) != 2*len(short) || long[0] != short[0] {
		t.Errorf("%d blocks and %d", len(short), len(long))
	}
	if long[0] == other[0] {
		t.Error("two videos have one hash")
	}
}

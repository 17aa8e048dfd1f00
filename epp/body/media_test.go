package body

import (
	"bytes"
	"encoding/base64"
	stdimage "image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"slices"
	"strings"
	"testing"
)

// picture is an image as a data URL.
func picture(t *testing.T, kind string, width, height int) string {
	t.Helper()
	var b bytes.Buffer
	m := stdimage.NewGray(stdimage.Rect(0, 0, width, height))
	for i := range m.Pix {
		m.Pix[i] = byte(i * i >> 3) // so that it does not compress well
	}
	var err error
	switch kind {
	case "png":
		err = png.Encode(&b, m)
	case "jpeg":
		err = jpeg.Encode(&b, m, nil)
	case "gif":
		err = gif.Encode(&b, m, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return "data:image/" + kind + ";base64," + base64.StdEncoding.EncodeToString(b.Bytes())
}

func webp(chunk string) string {
	return base64.StdEncoding.EncodeToString([]byte("RIFF\x00\x00\x00\x00WEBP" + chunk))
}

func TestImageTokens(t *testing.T) {
	for payload, want := range map[string]int{
		picture(t, "png", 640, 480):           300,
		picture(t, "jpeg", 640, 480):          300,
		picture(t, "gif", 640, 480):           300,
		picture(t, "png", 3, 3):               1,
		picture(t, "png", 640, 480)[22:]:      300, // base64 alone
		"https://example.com/a.png":           defaultTokens,
		"":                                    defaultTokens,
		"data:image/png;base64":               defaultTokens,
		"data:image/png;base64,":              defaultTokens,
		"data:image/png;base64,%%%%%%%%%%%%%": defaultTokens,
		picture(t, "jpeg", 640, 480)[:60]:     defaultTokens,
		webp("VP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x7f\x02\x00\xdf\x01\x00"):                                                                       300,
		webp("VP8 \x0a\x00\x00\x00\x00\x00\x00\x9d\x01\x2a\x80\x02\xe0\x01"):                                                                       300,
		webp("VP8L\x0a\x00\x00\x00\x00\x00\x00\x9d\x01\x2a\x80\x02\xe0\x01"):                                                                       defaultTokens,
		base64.StdEncoding.EncodeToString(append([]byte("\xff\xd8"), bytes.Repeat([]byte{0xff, 0xe0, 0xff, 0xff}, 50)...)):                         defaultTokens,
		base64.StdEncoding.EncodeToString(append([]byte("\xff\xd8"), bytes.Repeat([]byte{0xff, 0xe0, 0, 0}, 50)...)):                               defaultTokens,
		base64.StdEncoding.EncodeToString([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00")): maxImageTokens,
	} {
		if got := imageTokens([]byte(`"` + payload + `"`)); got != want {
			t.Errorf("%.60s: %d tokens, want %d", payload, got, want)
		}
	}
}

func TestMediaAreCounted(t *testing.T) {
	for _, tc := range []struct {
		name                   string
		api                    API
		messages               string
		images, videos, audios int
	}{
		{"text", ChatCompletions, `[{"role":"user","content":"image_url \"image_url\":{\"url\":1}"}]`, 0, 0, 0},
		{"chat", ChatCompletions, `[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"detail":"low","url":"u"}},
			{"type":"image_url","image_url":{"url":"u"}},{"type":"video_url","video_url":{"url":"u"}},{"type":"input_audio","input_audio":{"data":"d","format":"wav"}}]}]`, 2, 1, 1},
		{"chat, a URL alone", ChatCompletions, `[{"content":[{"image_url":"u"},{"audio_url":{"url":"u"}}]}]`, 1, 0, 1},
		{"no payload", ChatCompletions, `[{"content":[{"image_url":{"file_id":"f"}},{"image_url":null},{"image_url":7},{"url":"x","data":"y"}]}]`, 3, 0, 0},
		{"anthropic", Messages, `[{"content":[{"type":"image","cache_control":{"type":"ephemeral"},"source":{"type":"base64","media_type":"image/png","data":"iVBOR"}},
			{"type":"document","source":{"type":"base64","data":"x"}},{"type":"text","text":"x","source":"y"},{"type":"images","source":{"data":"x"}},
			{"type":"tool_result","content":[{"type":"image","source":{"type":"url","url":"u"}}]}]}]`, 2, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := scan(t, tc.api, `{"model":"m","tools":[{"image_url":"x"},"y"],"metadata":{"image_url":["z"]},"messages":`+tc.messages+`}`, true)
			if r.Images != tc.images || r.Videos != tc.videos || r.Audios != tc.audios || r.Multimodal != (tc.images+tc.videos+tc.audios > 0) {
				t.Errorf("got %d images, %d videos, %d audios, multimodal %t", r.Images, r.Videos, r.Audios, r.Multimodal)
			}
		})
	}
	r := scan(t, Responses, `{"model":"m","input":[{"content":[{"type":"input_image","image_url":"u"}]}]}`, true)
	if r.Images != 1 {
		t.Errorf("responses: %d images", r.Images)
	}
	r = scan(t, ChatCompletions, `{"model":"m","messages":[{"content":[{"image_url":7}]}],"tools":["x"]}`, true)
	if r.Images != 1 {
		t.Errorf("without a payload: %d images", r.Images)
	}
	r = scan(t, ChatCompletions, `{"model":"m","messages":[{"content":[{"image_url":"u"}]}],"messages":[1],"input":[{"image_url":"u"}]}`, true)
	if r.Multimodal {
		t.Error("a field that does not count has media that do")
	}
}

// TestMediaCountAsTokens checks that the bytes of an image are no prompt, that other images have other hashes, and that the
// text around them matters.
func TestMediaCountAsTokens(t *testing.T) {
	chat := func(before, image, after string) *Request {
		return scan(t, ChatCompletions, `{"model":"m","messages":[{"content":[{"type":"text","text":"`+before+`"},{"image_url":{"url":"`+image+`"}},{"text":"`+after+`"}]}]}`, true)
	}
	image := picture(t, "png", 640, 480)
	before := strings.Repeat("before ", 12)
	r, small := chat(before, image, "b"), chat(before, "u", "b")
	if want := small.PromptBytes + (300-225)*4; r.PromptBytes != want || r.PromptBytes != len(before)+1200+4 {
		t.Errorf("%d prompt bytes, want %d", r.PromptBytes, want)
	}
	if n := len(r.Blocks); n != r.PromptBytes/64+1 {
		t.Errorf("%d blocks of 64 bytes", n)
	}
	other := chat(before, image[:len(image)-8]+"AAAAAAAA", "b")
	if len(r.Blocks) != len(other.Blocks) || r.Blocks[0] != other.Blocks[0] || r.Blocks[1] == other.Blocks[1] || r.Blocks[2] == other.Blocks[2] {
		t.Error("another image does not change the blocks that it is in")
	}
	longer := chat(before, image, "b and more")
	if !slices.Equal(longer.Blocks[:len(r.Blocks)-1], r.Blocks[:len(r.Blocks)-1]) {
		t.Error("what comes after an image changes the blocks before")
	}
	if n := testing.AllocsPerRun(20, func() {
		_ = Scan(ChatCompletions, []byte(`{"model":"m","messages":[{"content":[{"image_url":{"url":"u"}}]}]}`), true, limits, r)
	}); n > 1 { // the body itself
		t.Errorf("%v allocations", n)
	}
}

// TestTruncatedMedia cuts a body with images at every byte.
func TestTruncatedMedia(t *testing.T) {
	text := strings.Repeat("word ", 30)
	body := `{"model":"m","messages":[{"content":[{"type":"text","text":"` + text + `"},{"type":"image_url","image_url":{"url":"` + picture(t, "png", 20, 20) +
		`"}},{"type":"image_url","image_url":"u"},{"text":"` + text + `"}]}],"x":1}`
	whole := scan(t, ChatCompletions, body, true)
	for n := range len(body) {
		r := &Request{}
		if err := Scan(ChatCompletions, []byte(body[:n]), false, limits, r); err != nil {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
		if len(r.Blocks) > len(whole.Blocks) || !slices.Equal(r.Blocks, whole.Blocks[:len(r.Blocks)]) {
			t.Fatalf("cut after %d bytes (%s): blocks are not a beginning of the whole body's", n, body[max(0, n-20):n])
		}
	}
	if whole.Images != 2 {
		t.Errorf("%d images", whole.Images)
	}
}

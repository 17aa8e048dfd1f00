package producer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/scheduling/producer"
)

func TestMediaOf(t *testing.T) {
	part := func(kind, value string) string { return `{"type":"` + kind + `","` + kind + `":` + value + `}` }
	chat := func(parts ...string) string {
		return `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"see \"image_url\":"},` + strings.Join(parts, ",") + `]}],"stream":true}`
	}
	for name, test := range map[string]struct {
		body string
		want []string
	}{
		"text":                   {`{"messages":[{"role":"user","content":"image_url"}]}`, nil},
		"image by URL":           {chat(part("image_url", `{"url":"https://a/b.png","detail":"low"}`)), []string{"image"}},
		"detail first":           {chat(part("image_url", `{"detail":{"url":1},"url":"x"}`)), []string{"image"}},
		"image of the responses": {`{"input":[{"content":[{"type":"input_image","image_url":"data:x"}]}]}`, []string{"image"}},
		"image of Anthropic":     {`{"messages":[{"content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}]}`, []string{"image"}},
		"audio, video":           {chat(part("input_audio", `{"data":"x","format":"wav"}`), part("video_url", `{"url":"y"}`)), []string{"audio", "video"}},
		"the same twice":         {chat(part("image_url", `{"url":"x"}`), part("image_url", `{ "url" : "x" }`)), []string{"image"}},
		"escapes":                {chat(part("image_url", `{"url":"x\\"}`), part("image_url", `{"url":"x\\\""}`), part("image_url", `{"url":"x"}`)), []string{"image", "image", "image"}},
		"not of the prompt":      {`{"tools":[{"image_url":"x"}],"metadata":{"image_url":{"url":"x"}},"messages":[]}`, nil},
		"no text":                {chat(part("image_url", `{"url":null}`), part("image_url", `[1]`), part("image_url", `true`)), nil},
		"cut after the first":    {strings.SplitAfter(chat(part("image_url", `{"url":"x"}`), part("image_url", `{"url":"yyy"}`)), "yy")[0], []string{"image"}},
		"cut in a name":          {`{"messages":[{"image_u`, nil},
		"cut in a number":        {`{"model":1`, nil},
		"not JSON":               {`hello`, nil},
		"garbage":                {`{"messages":[{]}`, nil},
		"empty":                  {``, nil},
		"deep":                   {`{"messages":` + strings.Repeat("[", 100_000), nil},
		"numbers around":         {`{"a":-1.5e3 ,"messages":[{"x":[1,2 , true],"image_url":"x"}]}`, []string{"image"}},
	} {
		got, hashes := producer.MediaOf([]byte(test.body))
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
		slices.Sort(hashes)
		if len(slices.Compact(hashes)) != len(got) {
			t.Errorf("%s: hashes repeat", name)
		}
	}
}

func TestMediaAreBounded(t *testing.T) {
	var parts []string
	for i := range 1000 {
		parts = append(parts, fmt.Sprintf(`{"image_url":"%d"}`, i))
	}
	if got, _ := producer.MediaOf([]byte(`{"messages":[` + strings.Join(parts, ",") + `]}`)); len(got) != 256 {
		t.Errorf("%d parts, want 256", len(got))
	}
}

func TestTheSameMediaHashAlike(t *testing.T) {
	_, one := producer.MediaOf([]byte(`{"messages":[{"content":[{"type":"image_url","image_url":{"url":"http://x/y"}}]}]}`))
	_, two := producer.MediaOf([]byte(`{"stream":false, "messages": [ {"role":"user"}, {"content":[{"image_url":{"detail":"low","url" : "http://x/y"},"type":"image_url"}]}]}`))
	if len(one) != 1 || !slices.Equal(one, two) {
		t.Errorf("hashes %v and %v", one, two)
	}
}

func FuzzMediaOf(f *testing.F) {
	f.Add([]byte(`{"messages":[{"content":[{"type":"image_url","image_url":{"url":"a\\\"b"}}]}]}`))
	f.Fuzz(func(_ *testing.T, body []byte) { producer.MediaOf(body) })
}

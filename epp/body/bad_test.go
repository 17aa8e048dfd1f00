package body

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"runtime"
	"strings"
	"testing"
)

// TestBadBodies is what clients send that no model server could read: each has an error that says what is wrong, and none makes
// the scan allocate in proportion to the body.
func TestBadBodies(t *testing.T) {
	const prefix = "error unmarshaling request bodyMap: "
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write([]byte(`{"model":"m","prompt":"x"}`)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("1", 1<<20)
	for name, tc := range map[string]struct{ body, want string }{
		"nothing":                  {"", prefix + "unexpected end of JSON input at byte 0"},
		"a form":                   {"model=m&prompt=x", prefix + "body is not a JSON object at byte 0"},
		"a list":                   {`[{"model":"m"}]`, prefix + "body is not a JSON object at byte 0"},
		"gzip":                     {zipped.String(), prefix + "body is gzip, not JSON at byte 0"},
		"cut":                      {`{"model":"m","prompt":"x`, prefix + "unexpected end of JSON input at byte 24"},
		"two objects":              {`{"model":"m","prompt":"x"}{}`, prefix + "more data after the JSON object at byte 26"},
		"deep lists":               {`{"model":"m","prompt":` + strings.Repeat("[", 10_000), prefix + "nested deeper than 512 levels at byte 533"},
		"deep objects":             {strings.Repeat(`{"a":`, 10_000), prefix + "nested deeper than 512 levels at byte 2560"},
		"a long number":            {`{"model":"m","prompt":"x","max_tokens":` + large + `}`, prefix + "number longer than 1024 bytes at byte 1048615"},
		"a long fraction":          {`{"model":"m","prompt":"x","y":[0.` + large + `]}`, prefix + "number longer than 1024 bytes at byte 1048609"},
		"invalid UTF-8":            {"{\"model\":\"m\",\"prompt\":\"a\xffb\"}", prefix + "invalid UTF-8 in string at byte 24"},
		"invalid UTF-8, long text": {"{\"model\":\"m\",\"prompt\":[\"" + strings.Repeat("é", 999) + "\xc3\"]}", prefix + "invalid UTF-8 in string at byte 2022"},
		"invalid UTF-8 in a name":  {"{\"\xed\xa0\x80\":1}", prefix + "invalid UTF-8 in string at byte 2"},
		"a byte order mark":        {"\xef\xbb\xbf{}", prefix + "body is not a JSON object at byte 0"},
		"a long model":             {`{"model":"` + large + `","prompt":"x"}`, "model name is longer than 1024 bytes"},
		"a model twice":            {`{"model":"m","model":7,"prompt":"x"}`, "model not found in request body"},
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte(tc.body)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := Scan(Completions, body, true, limits, &Request{})
			runtime.ReadMemStats(&after)
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 64<<10 {
				t.Errorf("%d bytes allocated", allocated)
			}
		})
	}
}

// TestOddBodies is what looks bad and is not: the last of two names counts, and escapes in names are resolved.
func TestOddBodies(t *testing.T) {
	body := `{"prompt":7,"model":"a","\u006do\u0064el" : "b\/\ud83d\ude00","prompt":"x","max_tokens":` + strings.Repeat("1", 1024) + `}`
	r := scan(t, Completions, body, true)
	if r.Model != "b/😀" || r.MaxTokens != 1<<63-1 || r.PromptBytes != 4 {
		t.Errorf("got %+v", r)
	}
	if got := body[r.ModelStart:r.ModelEnd]; got != `"b\/\ud83d\ude00"` {
		t.Errorf("the model stands at %s", got)
	}
}

func TestModelSpan(t *testing.T) {
	for api, tail := range map[API]string{
		ChatCompletions: `"messages":[1]`, Completions: `"prompt":"x"`, Responses: `"input":"x"`, Embeddings: `"input":"x"`,
		Conversations: `"items":[1]`, ImagesGenerations: `"prompt":"x"`, Messages: `"messages":[1]`, CountTokens: `"messages":[1]`,
		Generate: `"token_ids":[1]`, SGLangGenerate: `"input_ids":[1]`, Detect: `"prompt":"x"`,
	} {
		body := []byte(`{"a":{"model":"no"}, "model" : "naïve" ,` + tail + `}`)
		r := scan(t, api, string(body), true)
		want := `"naïve"`
		if api == SGLangGenerate {
			want = ""
		}
		if got := string(body[r.ModelStart:r.ModelEnd]); got != want || r.Model != "naïve" {
			t.Errorf("%s: %s of model %s, want %s", api, got, r.Model, want)
		}
		changed := append(append(append([]byte(nil), body[:r.ModelStart]...), `"other"`...), body[r.ModelEnd:]...)
		var decoded struct{ Model string }
		if want != "" && (json.Unmarshal(changed, &decoded) != nil || decoded.Model != "other") {
			t.Errorf("%s: with another name: %s", api, changed)
		}
		if none := scan(t, Generate, `{"token_ids":[1]}`, true); none.ModelStart != 0 || none.ModelEnd != 0 {
			t.Errorf("no model, and it stands at %d to %d", none.ModelStart, none.ModelEnd)
		}
	}
}

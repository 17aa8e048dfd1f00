package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/tokens"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, handler http.HandlerFunc) *tokens.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	c, err := tokens.New(tokens.Options{URL: server.URL + "/"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); server.Close() })
	return c
}

func TestRender(t *testing.T) {
	for name, test := range map[string]struct {
		api          body.API
		path, answer string
		want         *tokens.Prompt
	}{
		"chat": {body.ChatCompletions, "/v1/chat/completions/render", `{"request_id":"x","token_ids":[1, 2,4294967295],"features":null}`,
			&tokens.Prompt{IDs: []uint32{1, 2, 4294967295}}},
		"completions": {body.Completions, "/v1/completions/render", ` [{"token_ids":[5]}]`, &tokens.Prompt{IDs: []uint32{5}}},
		"images": {body.ChatCompletions, "/v1/chat/completions/render", `{"token_ids":[1,2,3,4],"features":{"mm_hashes":{"image":["b","a"],"audio":["c"]},
			"mm_placeholders":{"image":[{"offset":2,"length":2},{"offset":0,"length":1}],"audio":[{"offset":1,"length":1,"is_embed":null}]}}}`,
			&tokens.Prompt{IDs: []uint32{1, 2, 3, 4}, Features: []tokens.Feature{{"image", "a", 0, 1}, {"audio", "c", 1, 1}, {"image", "b", 2, 2}}}},
		"several prompts":       {body.Completions, "/v1/completions/render", `[{"token_ids":[5]},{"token_ids":[6]}]`, nil},
		"no tokens":             {body.ChatCompletions, "/v1/chat/completions/render", `{}`, nil},
		"fractions":             {body.ChatCompletions, "/v1/chat/completions/render", `{"token_ids":[1.5]}`, nil},
		"too large a number":    {body.ChatCompletions, "/v1/chat/completions/render", `{"token_ids":[4294967296]}`, nil},
		"nested":                {body.ChatCompletions, "/v1/chat/completions/render", `{"token_ids":[1,[2]]}`, nil},
		"hashes without places": {body.ChatCompletions, "/v1/chat/completions/render", `{"token_ids":[1],"features":{"mm_hashes":{"image":["a"]}}}`, nil},
		"not JSON":              {body.ChatCompletions, "/v1/chat/completions/render", `<html>`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				sent, _ := io.ReadAll(r.Body)
				if r.Method != http.MethodPost || r.URL.Path != test.path || string(sent) != `{"model":"m"}` || r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("asked %s %s %q", r.Method, r.URL.Path, sent)
				}
				_, _ = io.WriteString(w, test.answer)
			})
			got, err := c.Render(t.Context(), test.api, []byte(`{"model":"m"}`))
			if (err == nil) != (test.want != nil) || test.want != nil && !reflect.DeepEqual(got, test.want) {
				t.Errorf("%+v, error %v, want %+v", got, err, test.want)
			}
		})
	}
}

func TestTokensOfTheBody(t *testing.T) {
	c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("asked the server") })
	for _, test := range []struct {
		api  body.API
		body string
		want []uint32
	}{
		{body.Generate, `{"token_ids":[1,2],"input_ids":[9]}`, []uint32{1, 2}},
		{body.SGLangGenerate, `{"input_ids":[3]}`, []uint32{3}},
		{body.Generate, `{"token_ids":"1"}`, nil},
		{body.Generate, `{}`, nil},
		{body.Responses, `{"input":"x"}`, nil},
	} {
		got, err := c.Render(t.Context(), test.api, []byte(test.body))
		if (err == nil) != (test.want != nil) || err == nil && !reflect.DeepEqual(got.IDs, test.want) {
			t.Errorf("%s: %+v, error %v, want %v", test.body, got, err, test.want)
		}
	}
}

func TestASlowServerIsNotWaitedFor(t *testing.T) {
	release := make(chan struct{})
	c := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := c.Render(ctx, body.Completions, []byte(`{}`)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("waited %s", took)
	}
}

func TestAFailingServerIsLeftAlone(t *testing.T) {
	var asked atomic.Int32
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		http.Error(w, "no", http.StatusServiceUnavailable)
	})
	resting := 0
	for range 20 {
		if _, err := c.Render(t.Context(), body.Completions, []byte(`{}`)); errors.Is(err, tokens.ErrResting) {
			resting++
		} else if err == nil {
			t.Fatal("no error")
		}
	}
	if asked.Load() != 5 || resting != 15 {
		t.Errorf("asked %d times, %d at rest", asked.Load(), resting)
	}
}

func TestRefusedRequestsDoNotRest(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "unknown model", http.StatusNotFound) })
	for range 20 {
		if _, err := c.Render(t.Context(), body.Completions, []byte(`{}`)); err == nil || !strings.Contains(err.Error(), "unknown model") {
			t.Fatalf("error %v", err)
		}
	}
}

func TestURLs(t *testing.T) {
	for url, ok := range map[string]bool{"": true, "http://h:1": true, "https://h": true, "h:1": false, "ftp://h": false, "http://": false} {
		if _, err := tokens.New(tokens.Options{URL: url}); (err == nil) != ok {
			t.Errorf("%q: error %v", url, err)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	var answer strings.Builder
	answer.WriteString(`{"token_ids":[1`)
	for i := range 100_000 {
		fmt.Fprintf(&answer, ",%d", i)
	}
	answer.WriteString("]}")
	for b.Loop() {
		if _, err := tokens.FromBody(body.Generate, []byte(answer.String())); err != nil {
			b.Fatal(err)
		}
	}
}

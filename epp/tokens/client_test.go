package tokens_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
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
		"messages":              {body.Messages, "/v1/messages/render", `{"token_ids":[6]}`, &tokens.Prompt{IDs: []uint32{6}}},
		"responses":             {body.Responses, "/v1/responses/render", `{"token_ids":[7]}`, &tokens.Prompt{IDs: []uint32{7}}},
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
		{body.Embeddings, `{"input":"x"}`, nil},
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

// What vLLM 0.32 says when it does not know the model, has no such endpoint, or was not started to render.
const (
	noModel     = `{"error":{"message":"The model ` + "`sql`" + ` does not exist. Valid aliases: tiny.","type":"NotFoundError","param":"model","code":404}}`
	noEndpoint  = `{"detail":"Not Found"}`
	notToRender = `{"error":{"message":"Scale-out endpoints are disabled. Restart vllm serve with --enable-scale-out to enable them.",` +
		`"type":"PermissionDeniedError","param":null,"code":403}}`
)

func TestAnotherModelIsAskedFor(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		asked = append(asked, string(sent))
		if strings.Contains(string(sent), `"tiny"`) {
			_, _ = io.WriteString(w, `{"token_ids":[1]}`)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, noModel)
	}))
	defer server.Close()
	for model, want := range map[string]int{"tiny": 2, "": 1, "sql": 1} {
		asked = nil
		c, err := tokens.New(tokens.Options{URL: server.URL, Model: model})
		if err != nil {
			t.Fatal(err)
		}
		prompt, err := c.Render(t.Context(), body.ChatCompletions, []byte(`{"model": "sql", "messages": [{"content": "<a>"}]}`))
		if (err == nil) != (model == "tiny") || err == nil && prompt.IDs[0] != 1 || len(asked) != want {
			t.Errorf("with %q in place: %+v, error %v, asked %q", model, prompt, err, asked)
		}
		if want == 2 {
			var sent struct{ Messages []struct{ Content string } }
			if err := json.Unmarshal([]byte(asked[1]), &sent); err != nil || len(sent.Messages) != 1 || sent.Messages[0].Content != "<a>" {
				t.Errorf("asked %q the second time", asked[1])
			}
		}
		c.Close()
	}
}

func TestWhatTheServerCannotDoIsSaidOnce(t *testing.T) {
	for name, test := range map[string]struct {
		status        int
		answer        string
		err           error
		asked         int32
		others, warns int
	}{
		"refuses":     {http.StatusForbidden, notToRender, tokens.ErrResting, 1, 1, 1},
		"no endpoint": {http.StatusNotFound, noEndpoint, tokens.ErrAPI, 1, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.answer)
			}))
			defer server.Close()
			var said strings.Builder
			c, err := tokens.New(tokens.Options{URL: server.URL, Logger: slog.New(slog.NewTextHandler(&said, nil))})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 10 {
				_, err = c.Render(t.Context(), body.Messages, []byte(`{}`))
			}
			if !errors.Is(err, test.err) || asked.Load() != test.asked {
				t.Errorf("error %v, asked %d times", err, asked.Load())
			}
			_, _ = c.Render(t.Context(), body.ChatCompletions, []byte(`{}`)) // another endpoint
			if int(asked.Load()) != test.others || strings.Count(said.String(), "level=WARN") != test.warns {
				t.Errorf("asked %d times, said\n%s", asked.Load(), &said)
			}
			before := asked.Load()
			c.Awake()
			_, _ = c.Render(t.Context(), body.Messages, []byte(`{}`))
			if again := asked.Load() - before; (again == 1) != (test.err == tokens.ErrResting) || strings.Count(said.String(), "level=WARN") != test.warns {
				t.Errorf("after a rest asked %d times, said\n%s", again, &said)
			}
		})
	}
}

// TestRenderRecordedAnswers reads what a real server answered, prompt by prompt.
func TestRenderRecordedAnswers(t *testing.T) {
	text, err := os.ReadFile("testdata/vllm-0.32.0.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	// As many as the server counted when it generated.
	want := map[string]int{"chat": 108, "longer": 236, "salted": 108, "adapter": 108, "completion": 105, "messages": 108, "responses": 108}
	apis := map[string]body.API{"/v1/completions/render": body.Completions, "/v1/messages/render": body.Messages, "/v1/responses/render": body.Responses}
	for line := range strings.Lines(string(text)) {
		var recorded struct {
			Name, Path   string
			Body, Answer json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &recorded); err != nil {
			t.Fatal(err)
		}
		api, ok := apis[recorded.Path]
		if !ok {
			api = body.ChatCompletions
		}
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != recorded.Path {
				t.Errorf("%s: asked %s", recorded.Name, r.URL.Path)
			}
			_, _ = w.Write(recorded.Answer)
		})
		prompt, err := c.Render(t.Context(), api, recorded.Body)
		if err != nil || len(prompt.IDs) != want[recorded.Name] || len(prompt.Features) != 0 {
			t.Errorf("%s: %+v, error %v", recorded.Name, prompt, err)
		}
		delete(want, recorded.Name)
	}
	if len(want) != 0 {
		t.Errorf("not recorded: %v", want)
	}
}

// TestRenderRecordedImages reads such answers of prompts with images, which were recorded without their pixels.
func TestRenderRecordedImages(t *testing.T) {
	text, err := os.ReadFile("testdata/vllm-0.32.0-images.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	const red, blue = "cb8e81a50c4de4f2d3c3647327ef5ce3e7571eb53d0dc47ad3b71387cfcee7a0", "cb3ba35706ed05aaca89965b0cc4bb621cb9beddefeee8e3706840187d3c6d35"
	want := map[string][]tokens.Feature{
		"red": {{"image", red, 31, 64}}, "two": {{"image", red, 31, 64}, {"image", blue, 95, 64}},
		"blue": {{"image", blue, 31, 64}}, "twice": {{"image", red, 31, 64}, {"image", red, 95, 64}},
	}
	for line := range strings.Lines(string(text)) {
		var recorded struct {
			Name   string
			Answer json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &recorded); err != nil {
			t.Fatal(err)
		}
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(recorded.Answer) })
		prompt, err := c.Render(t.Context(), body.ChatCompletions, []byte(`{}`))
		if err != nil || !reflect.DeepEqual(prompt.Features, want[recorded.Name]) {
			t.Errorf("%s: %+v, error %v", recorded.Name, prompt, err)
		}
		delete(want, recorded.Name)
	}
	if len(want) != 0 {
		t.Errorf("not recorded: %v", want)
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

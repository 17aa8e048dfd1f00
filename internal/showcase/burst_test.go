package showcase

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestPromptsFitTheModelThatServersName(t *testing.T) {
	for answer, want := range map[string]struct {
		model  servedModel
		prompt int
	}{
		`{"data":[{"id":"small","max_model_len":4096},{"id":"other"}]}`: {servedModel{"small", 4096}, 512},
		`{"data":[{"id":"tiny","max_model_len":4}]}`:                    {servedModel{"tiny", 4}, 1},
		`{"data":[{"id":"large","max_model_len":131072}]}`:              {servedModel{"large", 131072}, 0},
		`{"data":[{"id":"silent"}]}`:                                    {servedModel{"silent", 0}, 0},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/models" {
				_, _ = w.Write([]byte(answer))
			}
		}))
		got, err := firstModel(t.Context(), target{base: server.URL})
		server.Close()
		if err != nil || got != want.model || got.prompt() != want.prompt {
			t.Errorf("%s: got %+v, %d tokens, %v; want %+v, %d", answer, got, got.prompt(), err, want.model, want.prompt)
		}
	}
}

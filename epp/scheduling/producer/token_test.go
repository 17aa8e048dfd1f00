package producer_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/producer"
)

// baseOnly is a render server that knows one model.
type baseOnly struct {
	mu    sync.Mutex
	asked []string // paths and models
}

func (s *baseOnly) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	var sent struct{ Model string }
	_ = json.Unmarshal(raw, &sent)
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.Path+" "+sent.Model)
	s.mu.Unlock()
	if sent.Model != "base" {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":{"message":"The model does not exist.","type":"NotFoundError","param":"model","code":404}}`)
		return
	}
	_, _ = io.WriteString(w, `{"token_ids":[7,8]}`)
}

// took gives what was asked for since the last time.
func (s *baseOnly) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func TestTokensOfModelsThatTheServerDoesNotKnow(t *testing.T) {
	rendering := &baseOnly{}
	server := httptest.NewServer(rendering)
	t.Cleanup(server.Close)
	vllm := `"vllm":{"url":"` + server.URL + `"}}`
	for name, test := range map[string]struct {
		parameters string
		api        body.API
		body       string
		asked      []string
		tokens     []uint32
	}{
		"known":           {`{"modelName":"base",` + vllm, body.ChatCompletions, `{"model":"base"}`, []string{"/v1/chat/completions/render base"}, []uint32{7, 8}},
		"an adapter":      {`{"modelName":"base",` + vllm, body.Messages, `{"model":"sql"}`, []string{"/v1/messages/render sql", "/v1/messages/render base"}, []uint32{7, 8}},
		"no modelName":    {`{` + vllm, body.Responses, `{"model":"sql"}`, []string{"/v1/responses/render sql"}, nil},
		"another unknown": {`{"modelName":"more",` + vllm, body.Completions, `{"model":"sql"}`, []string{"/v1/completions/render sql", "/v1/completions/render more"}, nil},
	} {
		p, err := producer.NewToken([]byte(test.parameters))
		if err != nil {
			t.Fatal(err)
		}
		// On a busy machine a request may not be waited for: then it is tried again.
		var asked []string
		var got []uint32
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
			rendering.took()
			c := scheduling.NewCycle(&body.Request{API: test.api}, nil, time.Now())
			c.Body = []byte(test.body)
			p.Produce(c)
			if got = nil; c.Tokens != nil {
				got = slices.Clone(c.Tokens.IDs)
			}
			c.Release()
			if asked = rendering.took(); slices.Equal(asked, test.asked) && slices.Equal(got, test.tokens) {
				break
			}
		}
		if !slices.Equal(asked, test.asked) || !slices.Equal(got, test.tokens) {
			t.Errorf("%s: asked %q and got %v, want %q and %v", name, asked, got, test.asked, test.tokens)
		}
	}
}

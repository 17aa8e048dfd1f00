package sim

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 256 << 20

// defaultMaxTokens is the length of an answer when the request does not say.
const defaultMaxTokens = 16

// apiError is an error in the shape of OpenAI's, with vLLM's type names.
type apiError struct {
	status  int
	kind    string
	message string
}

func (e *apiError) Error() string { return e.message }

func badRequest(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "BadRequestError", fmt.Sprintf(format, args...)}
}

// write answers the error.
func (e *apiError) write(w http.ResponseWriter) {
	writeJSON(w, e.status, map[string]any{
		"error": map[string]any{"message": e.message, "type": e.kind, "param": nil, "code": e.status},
	})
}

// generation is what both APIs ask, in one.
type generation struct {
	Model         string          `json:"model"`
	Messages      []message       `json:"messages"`
	Prompt        json.RawMessage `json:"prompt"`
	Tools         json.RawMessage `json:"tools"`
	Stream        bool            `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens           *int   `json:"max_tokens"`
	MaxCompletionTokens *int   `json:"max_completion_tokens"`
	N                   *int   `json:"n"`
	CacheSalt           string `json:"cache_salt"`
}

type message struct {
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	ToolCalls json.RawMessage `json:"tool_calls"`
}

// decodeGeneration reads a request body. An error that is no *apiError is the connection's.
func decodeGeneration(w http.ResponseWriter, r *http.Request) (*generation, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, &apiError{http.StatusRequestEntityTooLarge, "BadRequestError",
			fmt.Sprintf("the body is larger than %d bytes", maxBody)}
	}
	if err != nil {
		return nil, fmt.Errorf("read request body: %w", err)
	}
	g := new(generation)
	if err := json.Unmarshal(body, g); err != nil {
		return nil, badRequest("the body is not a valid request: %v", err)
	}
	if g.N != nil && *g.N != 1 {
		return nil, badRequest("n is %d, this server gives one choice", *g.N)
	}
	return g, nil
}

// outputTokens is how long the answer will be, and whether it ends by itself.
func (g *generation) outputTokens() (n int, natural bool, err error) {
	limit := g.MaxCompletionTokens
	if limit == nil {
		limit = g.MaxTokens
	}
	if limit == nil {
		return defaultMaxTokens, true, nil
	}
	if *limit < 1 {
		return 0, false, badRequest("max_tokens must be at least 1, got %d", *limit)
	}
	return *limit, false, nil
}

// chatTokens renders the messages as the model sees them, up to where its answer begins.
func (g *generation) chatTokens() ([]byte, error) {
	if len(g.Messages) == 0 {
		return nil, badRequest("messages must not be empty")
	}
	var tokens []byte
	if given(g.Tools) {
		tokens = appendMessage(tokens, "tools", string(g.Tools))
	}
	for i, m := range g.Messages {
		if m.Role == "" {
			return nil, badRequest("messages[%d] has no role", i)
		}
		text, err := m.text()
		if err != nil {
			return nil, badRequest("messages[%d]: %v", i, err)
		}
		tokens = appendMessage(tokens, m.Role, text)
	}
	return appendMessage(tokens, "assistant", ""), nil
}

// text joins the parts of a message's content.
func (m *message) text() (string, error) {
	text := ""
	if given(m.Content) && m.Content[0] == '[' {
		var parts []struct{ Type, Text string }
		if err := json.Unmarshal(m.Content, &parts); err != nil {
			return "", fmt.Errorf("content: %w", err)
		}
		for _, p := range parts {
			if p.Type != "text" {
				return "", fmt.Errorf("content part of type %q, this model takes text only", p.Type)
			}
			text += p.Text
		}
	} else if given(m.Content) {
		if err := json.Unmarshal(m.Content, &text); err != nil {
			return "", errors.New("content must be a string or a list of parts")
		}
	}
	if given(m.ToolCalls) {
		text += string(m.ToolCalls)
	}
	return text, nil
}

// promptTokens reads a completion's prompt: a string, a list of one string, or token ids.
func (g *generation) promptTokens() ([]byte, error) {
	var text string
	if json.Unmarshal(g.Prompt, &text) == nil && text != "" {
		return appendText(nil, text), nil
	}
	var texts []string
	if json.Unmarshal(g.Prompt, &texts) == nil && len(texts) == 1 && texts[0] != "" {
		return appendText(nil, texts[0]), nil
	}
	var ids []uint32
	if json.Unmarshal(g.Prompt, &ids) == nil && len(ids) > 0 {
		return tokensOf(ids), nil
	}
	var lists [][]uint32
	if json.Unmarshal(g.Prompt, &lists) == nil && len(lists) == 1 && len(lists[0]) > 0 {
		return tokensOf(lists[0]), nil
	}
	return nil, badRequest("prompt must be one text or one list of token ids, and not empty")
}

func tokensOf(ids []uint32) []byte {
	tokens := make([]byte, 0, len(ids)*tokenBytes)
	for _, id := range ids {
		tokens = binary.LittleEndian.AppendUint32(tokens, id)
	}
	return tokens
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// newJob turns a request for a known model into the engine's terms.
func (s *Server) newJob(g *generation, tokens []byte) (job, error) {
	maxTokens, natural, err := g.outputTokens()
	if err != nil {
		return job{}, err
	}
	prompt := len(tokens) / tokenBytes
	if limit := s.contextTokens(); maxTokens > limit || prompt > limit-maxTokens {
		return job{}, badRequest("this model's maximum context length is %d tokens, but the request has %d in the prompt "+
			"and asks for %d more", limit, prompt, maxTokens)
	}
	j := job{prompt: prompt, maxTokens: maxTokens, natural: natural}
	if g.Model != s.cfg.Model {
		j.adapter = g.Model
	}
	j.chain = newChain(j.adapter, g.CacheSalt)
	j.hashes = j.chain.hashBlocks(tokens, s.cfg.BlockTokens*tokenBytes)
	return j, nil
}

// contextTokens is the longest sequence that the cache can hold.
func (s *Server) contextTokens() int { return s.cfg.CacheBlocks * s.cfg.BlockTokens }

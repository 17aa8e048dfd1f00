package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// dialect is what differs between the two generation APIs.
type dialect struct {
	idPrefix string
	object   string // of a whole answer
	chunk    string // of an event
	chat     bool
	tokens   func(*generation) ([]byte, error)
}

var (
	chatDialect = dialect{"chatcmpl-", "chat.completion", "chat.completion.chunk", true, (*generation).chatTokens}
	textDialect = dialect{"cmpl-", "text_completion", "text_completion", false, (*generation).promptTokens}
)

// usage is the answer's token count.
type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	TotalTokens      int `json:"total_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	Details          struct {
		CachedTokens int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
}

// answer is one generation on its way to the client.
type answer struct {
	dialect *dialect
	id      string
	created int64
	model   string // as the client named it
	seq     *sequence
	author  author
	pace    *pace
	step    func() time.Duration // time from this token to the next
}

// serveGeneration answers one request of either API.
func (s *Server) serveGeneration(w http.ResponseWriter, r *http.Request, d *dialect) {
	g, j, err := s.readJob(w, r, d)
	var refusal *apiError
	if errors.As(err, &refusal) {
		refusal.write(w)
		return
	}
	if err != nil {
		abandon()
	}
	seq, err := s.engine.admit(r.Context(), j)
	if errors.Is(err, errQueueFull) {
		w.Header().Set("Retry-After", "1")
		(&apiError{http.StatusServiceUnavailable, "ServiceUnavailableError", err.Error()}).write(w)
		return
	}
	if err != nil {
		abandon()
	}
	defer seq.finish(finishAbort) // without effect on an answer that came to its end

	h := w.Header()
	h.Set("x-sim-model", g.Model)
	h.Set("x-sim-prompt-tokens", strconv.Itoa(j.prompt))
	h.Set("x-sim-cached-tokens", strconv.Itoa(seq.cached))
	a := s.newAnswer(d, r, g, seq)
	if g.Stream {
		err = a.stream(r.Context(), w, g.StreamOptions.IncludeUsage)
	} else {
		err = a.whole(r.Context(), w)
	}
	if err != nil {
		abandon()
	}
}

// abandon ends a request whose client has gone or whose server stops. Merely returning would make of it an answer
// that looks complete.
func abandon() { panic(http.ErrAbortHandler) }

func (s *Server) readJob(w http.ResponseWriter, r *http.Request, d *dialect) (*generation, job, error) {
	g, err := decodeGeneration(w, r)
	if err != nil {
		return nil, job{}, err
	}
	if g.Model != s.cfg.Model && !slices.Contains(s.cfg.LoRA, g.Model) {
		return nil, job{}, &apiError{http.StatusNotFound, "NotFoundError",
			fmt.Sprintf("the model %q does not exist", g.Model)}
	}
	tokens, err := d.tokens(g)
	if err != nil {
		return nil, job{}, err
	}
	j, err := s.newJob(g, tokens)
	return g, j, err
}

func (s *Server) newAnswer(d *dialect, r *http.Request, g *generation, seq *sequence) *answer {
	id := r.Header.Get("x-request-id")
	if id == "" || len(id) > 128 {
		id = strconv.FormatUint(seq.job.chain.sum(), 16)
	}
	a := &answer{
		dialect: d,
		id:      d.idPrefix + id,
		created: time.Now().Unix(),
		model:   g.Model,
		seq:     seq,
		author:  newAuthor(s.cfg.Seed, seq.job.chain.sum()),
		pace:    newPace(seq.prefillUntil.Add(s.cfg.scaled(s.cfg.FirstToken))),
	}
	// Jitter has its own dice, or it would change the texts.
	dice := newAuthor(s.cfg.Seed+1, seq.job.chain.sum()).random
	a.step = func() time.Duration {
		spread := 1 + s.cfg.Jitter*(2*dice.Float64()-1)
		return s.cfg.scaled(time.Duration(float64(s.cfg.InterToken) * spread))
	}
	return a
}

func (a *answer) usage() usage {
	u := usage{PromptTokens: a.seq.job.prompt, CompletionTokens: a.seq.written}
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	u.Details.CachedTokens = a.seq.cached
	return u
}

// tokens writes the answer in time, handing each token on, and whether it is the last. A token is accounted for
// before it is handed on, and with the last one the request has left the server's books: whoever has read an
// answer sees it on the metrics page.
func (a *answer) tokens(ctx context.Context, put func(token string, last bool) error) error {
	for i := 1; i <= a.seq.job.maxTokens; i++ {
		if err := a.pace.wait(ctx); err != nil {
			return err
		}
		token, last := a.author.next(), i == a.seq.job.maxTokens
		a.seq.append(token)
		if last {
			a.seq.finish(a.seq.finishReason())
		}
		if err := put(token, last); err != nil {
			return err
		}
		a.pace.due = a.pace.due.Add(a.step())
	}
	return nil
}

// whole answers with one JSON object, when all of it is there.
func (a *answer) whole(ctx context.Context, w http.ResponseWriter) error {
	var text []byte
	if err := a.tokens(ctx, func(token string, _ bool) error {
		text = append(text, token...)
		return nil
	}); err != nil {
		return err
	}
	choice := map[string]any{"index": 0, "logprobs": nil, "finish_reason": a.seq.finishReason()}
	if a.dialect.chat {
		choice["message"] = map[string]any{"role": "assistant", "content": string(text)}
	} else {
		choice["text"] = string(text)
	}
	return writeJSON(w, http.StatusOK, map[string]any{
		"id": a.id, "object": a.dialect.object, "created": a.created, "model": a.model,
		"choices": []any{choice}, "usage": a.usage(),
	})
}

// stream answers with server-sent events, one per token and each flushed. The first one carries the time at
// which it was written, as sim_written_unix_nano.
func (a *answer) stream(ctx context.Context, w http.ResponseWriter, withUsage bool) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	flusher := http.NewResponseController(w)
	send := func(event []byte) error {
		if _, err := w.Write(event); err != nil {
			return err
		}
		return flusher.Flush()
	}

	head := a.eventHead()
	before, after := `{"index":0,"text":"`, `","logprobs":null,"finish_reason":`
	if a.dialect.chat {
		before, after = `{"index":0,"delta":{"content":"`, `"},"logprobs":null,"finish_reason":`
	}
	event := make([]byte, 0, len(head)+256)
	first := true
	if err := a.tokens(ctx, func(token string, last bool) error {
		if first && a.dialect.chat {
			event = append(append(event[:0], head...), `[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,`+
				`"finish_reason":null}]`...)
			if err := send(appendWritten(event)); err != nil {
				return err
			}
			first = false
		}
		event = append(append(append(append(append(event[:0], head...), '['), before...), token...), after...)
		if last {
			event = append(append(append(event, '"'), a.seq.finishReason()...), '"')
		} else {
			event = append(event, "null"...)
		}
		event = append(event, "}]"...)
		if first {
			first = false
			return send(appendWritten(event))
		}
		return send(append(event, "}\n\n"...))
	}); err != nil {
		return err
	}
	if withUsage {
		u, err := json.Marshal(a.usage())
		if err != nil {
			return err
		}
		event = append(append(event[:0], head...), `[],"usage":`...)
		if err := send(append(append(event, u...), "}\n\n"...)); err != nil {
			return err
		}
	}
	return send([]byte("data: [DONE]\n\n"))
}

// eventHead is what every event of this answer begins with, up to its choices.
func (a *answer) eventHead() []byte {
	id, _ := json.Marshal(a.id) // strings always encode
	model, _ := json.Marshal(a.model)
	head := fmt.Appendf(nil, `data: {"id":%s,"object":%q,"created":%d,"model":%s,"choices":`,
		id, a.dialect.chunk, a.created, model)
	return slices.Clip(head)
}

// appendWritten ends an event with the time of this moment.
func appendWritten(event []byte) []byte {
	event = append(event, `,"sim_written_unix_nano":`...)
	event = strconv.AppendInt(event, time.Now().UnixNano(), 10)
	return append(event, "}\n\n"...)
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err = w.Write(body)
	return err
}

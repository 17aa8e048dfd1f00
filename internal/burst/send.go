package burst

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"time"
)

// maxAnswer bounds an answer, and maxEvent one event of it, in bytes.
const (
	maxAnswer = 64 << 20
	maxEvent  = 1 << 20
)

// chatRequest is the part of OpenAI's request that a burst uses.
type chatRequest struct {
	Model         string         `json:"model"`
	Messages      []message      `json:"messages"`
	MaxTokens     int            `json:"max_tokens"`
	Stream        bool           `json:"stream,omitempty"`
	StreamOptions *streamOptions `json:"stream_options,omitempty"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// chatAnswer is a whole answer or one event of a streamed one.
type chatAnswer struct {
	Choices []struct {
		Message struct{ Content string }
		Delta   struct{ Content string }
	}
	Usage *struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
		Details          *struct {
			CachedTokens int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	}
	// WrittenUnixNano is when the simulator wrote this event, by the clock of its machine.
	WrittenUnixNano int64 `json:"sim_written_unix_nano"`
}

// send makes one request, fills in its result, and returns the text of the answer.
func send(ctx context.Context, client *http.Client, o *Options, messages []message, r *Result) string {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	begun := time.Now()
	text, err := exchange(ctx, client, o, messages, r, begun)
	r.Total = time.Since(begun)
	if err != nil {
		r.Err = err.Error()
		return ""
	}
	return text
}

func exchange(ctx context.Context, client *http.Client, o *Options, messages []message, r *Result, begun time.Time) (string, error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotFirstResponseByte: func() { r.TTFB = time.Since(begun) },
	})
	req, err := newRequest(ctx, o, messages, r)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	r.Status = resp.StatusCode
	r.Endpoint = resp.Header.Get("x-sim-endpoint")
	r.PromptTokens, _ = strconv.Atoi(resp.Header.Get("x-sim-prompt-tokens"))
	r.CachedTokens, _ = strconv.Atoi(resp.Header.Get("x-sim-cached-tokens"))
	body := io.LimitReader(resp.Body, maxAnswer)
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(body, 512))
		return "", fmt.Errorf("answered %s: %s", resp.Status, strings.TrimSpace(string(said)))
	}
	if r.Streamed {
		return readStream(body, r, begun)
	}
	return readWhole(body, r)
}

func newRequest(ctx context.Context, o *Options, messages []message, r *Result) (*http.Request, error) {
	ask := chatRequest{Model: o.Model, Messages: messages, MaxTokens: o.MaxTokens, Stream: r.Streamed}
	if r.Streamed {
		ask.StreamOptions = &streamOptions{IncludeUsage: true}
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Target+o.Path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Host = o.Host
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("x-request-id", r.RequestID)
	return req, nil
}

// readWhole reads an answer that is one object.
func readWhole(body io.Reader, r *Result) (string, error) {
	var a chatAnswer
	if err := json.NewDecoder(body).Decode(&a); err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	r.count(&a)
	if len(a.Choices) == 0 {
		return "", errors.New("the answer has no choice")
	}
	return a.Choices[0].Message.Content, nil
}

// readStream reads server-sent events to the end of the answer. The time to the first byte becomes that to the
// first event.
func readStream(body io.Reader, r *Result, begun time.Time) (string, error) {
	var text strings.Builder
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxEvent)
	for first := true; lines.Scan(); {
		data, found := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !found {
			continue
		}
		if data = bytes.TrimSpace(data); string(data) == "[DONE]" {
			r.Done = true
			continue
		}
		var a chatAnswer
		if err := json.Unmarshal(data, &a); err != nil {
			return "", fmt.Errorf("read event: %w", err)
		}
		if first {
			first = false
			r.TTFB = time.Since(begun)
			if a.WrittenUnixNano > 0 {
				r.FirstEventDelay = time.Since(time.Unix(0, a.WrittenUnixNano))
			}
		}
		r.count(&a)
		for _, c := range a.Choices {
			text.WriteString(c.Delta.Content)
			if c.Delta.Content != "" && a.Usage == nil {
				r.OutputTokens++ // an event per token, until the usage says better
			}
		}
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("read stream: %w", err)
	}
	return text.String(), nil
}

// count takes the token numbers of an answer that has them.
func (r *Result) count(a *chatAnswer) {
	if a.Usage == nil {
		return
	}
	r.PromptTokens, r.OutputTokens = a.Usage.PromptTokens, a.Usage.CompletionTokens
	if a.Usage.Details != nil {
		r.CachedTokens = a.Usage.Details.CachedTokens
	}
}

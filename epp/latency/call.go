package latency

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"
)

// Paths of the servers.
const (
	predictPath = "/predict/bulk/strict"
	trainPath   = "/add_training_data_bulk"
)

// Bounds of what a server answers.
const (
	answerBytes       = 64 << 10 // of an answer, and
	answerBytesPerRow = 4 << 10  // as many for each row
	longestLatency    = 1e9      // milliseconds
)

// call asks a prediction server for so many rows and, when that fails and there is time left, another one.
func (c *Client) call(ctx context.Context, body []byte, rows int) ([]Prediction, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.PredictionTimeout)
	defer cancel()
	var asked *server
	err := error(ErrAway)
	for range 2 {
		s := choose(c.servers, asked, time.Now())
		if s == nil {
			break
		}
		var predictions []Prediction
		if predictions, err = c.predictAt(ctx, s, body, rows); err == nil {
			s.answered()
			return predictions, nil
		}
		if s.failed(time.Now()) {
			c.log.Warn("a prediction server is left alone for a while; plugins go without its predictions", "url", s.url, "error", err)
		}
		if ctx.Err() != nil {
			break
		}
		asked = s
	}
	return nil, err
}

func (c *Client) predictAt(ctx context.Context, s *server, body []byte, rows int) ([]Prediction, error) {
	answer, err := c.post(ctx, s.url+predictPath, body, int64(answerBytes+rows*answerBytesPerRow))
	if err != nil {
		return nil, err
	}
	predictions, err := decode(answer, rows)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", s.url, predictPath, err)
	}
	return predictions, nil
}

// post sends JSON and returns the answer, at most so many bytes of it.
func (c *Client) post(ctx context.Context, url string, body []byte, most int64) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", url, err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking a predictor: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 299 {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 256))
		return nil, &statusError{url: url, status: response.StatusCode, text: string(text)}
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer of %s: %w", url, err)
	case int64(len(answer)) > most:
		return nil, fmt.Errorf("%s: %w: longer than %d bytes", url, ErrAnswer, most)
	}
	return answer, nil
}

// statusError is an answer with a status of failure.
type statusError struct {
	url    string
	status int
	text   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s answers %d: %q", e.url, e.status, e.text)
}

// Unwrap makes it one that is no prediction.
func (e *statusError) Unwrap() error { return ErrAnswer }

// final tells whether the same question would be refused again.
func (e *statusError) final() bool {
	return e.status >= 400 && e.status < 500 && e.status != http.StatusRequestTimeout && e.status != http.StatusTooManyRequests
}

// decode reads an answer, which has to have a sound prediction for each row.
func decode(answer []byte, rows int) ([]Prediction, error) {
	var given struct {
		Predictions []struct {
			TTFT *float64 `json:"ttft_ms"`
			TPOT *float64 `json:"tpot_ms"`
		} `json:"predictions"`
	}
	if err := json.Unmarshal(answer, &given); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if len(given.Predictions) != rows {
		return nil, fmt.Errorf("%w: %d predictions for %d rows", ErrAnswer, len(given.Predictions), rows)
	}
	predictions := make([]Prediction, rows)
	for i, p := range given.Predictions {
		if p.TTFT == nil || p.TPOT == nil || !sound(*p.TTFT) || !sound(*p.TPOT) {
			return nil, fmt.Errorf("%w: predictions[%d] has no sound ttft_ms and tpot_ms", ErrAnswer, i)
		}
		predictions[i] = Prediction{TTFT: *p.TTFT, TPOT: *p.TPOT}
	}
	return predictions, nil
}

func sound(ms float64) bool { return !math.IsNaN(ms) && ms >= 0 && ms <= longestLatency }

// Outcome is a word for how a prediction went, for metrics.
func Outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrAway):
		return "away"
	case errors.Is(err, ErrAnswer):
		return "bad_answer"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "timeout"
	}
	return "error"
}

package latency_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/latency"
)

// row is one row of a question, with all members that servers know; others are refused.
type row struct {
	KV        *float64  `json:"kv_cache_percentage"`
	Input     *int      `json:"input_token_length"`
	Waiting   *int      `json:"num_request_waiting"`
	Running   *int      `json:"num_request_running"`
	Generated *int      `json:"num_tokens_generated"`
	Prefix    *float64  `json:"prefix_cache_score"`
	Encoder   *int      `json:"encoder_input_size"`
	Matched   *int      `json:"encoder_matched_size"`
	PodType   string    `json:"pod_type"`
	Prefill   *int64    `json:"prefill_tokens_in_flight"`
	Decode    *int64    `json:"decode_tokens_in_flight"`
	TTFT      *float64  `json:"actual_ttft_ms"`
	TPOT      *float64  `json:"actual_tpot_ms"`
	At        time.Time `json:"timestamp"`
}

func (r *row) check() error {
	switch {
	case r.KV == nil || r.Input == nil || r.Waiting == nil || r.Running == nil || r.Generated == nil || r.Prefix == nil ||
		r.Encoder == nil || r.Matched == nil || r.Prefill == nil || r.Decode == nil:
		return fmt.Errorf("a member is missing: %+v", r)
	case *r.KV < 0 || *r.KV > 1 || *r.Prefix < 0 || *r.Prefix > 1:
		return fmt.Errorf("a share is not between 0 and 1: %+v", r)
	case *r.Input < 0 || *r.Waiting < 0 || *r.Running < 0 || *r.Generated < 0 || *r.Prefill < 0 || *r.Decode < 0 || *r.Matched > *r.Encoder:
		return fmt.Errorf("a number is out of its bounds: %+v", r)
	}
	return nil
}

// fake is a prediction server and a training server that check what they are asked. A prediction is the prompt's length as TTFT
// and the running requests as TPOT.
type fake struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	calls   []int // rows of each
	entries []row
	answer  func(w http.ResponseWriter, rows []row) bool // in place of the right one; false: it did not answer
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) answering(answer func(w http.ResponseWriter, rows []row) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		f.t.Errorf("%s %s with content type %q", r.Method, r.URL, r.Header.Get("Content-Type"))
	}
	var given struct {
		Requests []row `json:"requests"`
		Entries  []row `json:"entries"`
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&given); err != nil {
		f.t.Errorf("%s: %v", r.URL, err)
	}
	for _, rows := range [][]row{given.Requests, given.Entries} {
		for i := range rows {
			if err := rows[i].check(); err != nil {
				f.t.Error(err)
			}
		}
	}
	f.mu.Lock()
	answer := f.answer
	f.calls = append(f.calls, len(given.Requests))
	f.mu.Unlock()
	if answer != nil && answer(w, append(given.Requests, given.Entries...)) {
		return
	}
	switch r.URL.Path {
	case "/predict/bulk/strict":
		predict(w, given.Requests)
	case "/add_training_data_bulk":
		f.mu.Lock()
		f.entries = append(f.entries, given.Entries...)
		f.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"message":"ok"}`)
	default:
		f.t.Errorf("asked for %s", r.URL)
	}
}

func predict(w io.Writer, rows []row) {
	_, _ = io.WriteString(w, `{"predictions":[`)
	for i, r := range rows {
		if i > 0 {
			_, _ = io.WriteString(w, ",")
		}
		_, _ = fmt.Fprintf(w, `{"ttft_ms":%d,"tpot_ms":%d.5,"ttft_uncertainty":1,"ttft_prediction_bounds":[0,1],"predicted_at":"2026-01-01T00:00:00Z","model_type":"xgboost","quantile":0.9,"last_model_load":null}`,
			*r.Input, *r.Running)
	}
	_, _ = fmt.Fprintf(w, `],"total_requests":%d,"successful_predictions":%d,"failed_predictions":0,"processing_time_ms":0.1}`, len(rows), len(rows))
}

func (f *fake) rowsOfCalls() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]int(nil), f.calls...)
}

func (f *fake) learnt() []row {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]row(nil), f.entries...)
}

// running starts a client and stops it when the test ends.
func running(t *testing.T, change func(*latency.Options), fakes ...*fake) *latency.Client {
	t.Helper()
	options := latency.Defaults()
	options.PredictionURLs = nil
	for _, f := range fakes {
		options.TrainingURL = f.URL
		options.PredictionURLs = append(options.PredictionURLs, f.URL)
	}
	options.PredictionTimeout = 5 * time.Second
	options.FlushInterval = time.Millisecond
	if change != nil {
		change(&options)
	}
	client := latency.New(options, nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	until(t, "the client runs", client.Running)
	return client
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func prompts(lengths ...int) []latency.Features {
	rows := make([]latency.Features, len(lengths))
	for i, n := range lengths {
		rows[i] = latency.Features{InputTokens: n, Running: i}
	}
	return rows
}

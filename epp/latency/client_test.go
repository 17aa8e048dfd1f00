package latency_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard/switchyard/epp/latency"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPredict(t *testing.T) {
	f := newFake(t)
	client := running(t, nil, f)
	out := make([]latency.Prediction, 3)
	rows := prompts(100, 7, 0)
	rows[0] = latency.Features{
		KVUsage: 1.5, InputTokens: 100, Waiting: -1, Running: 0, Generated: 1, PrefixShare: -0.1, EncoderParts: 1, EncoderHeld: 2,
		Role: `pre"fill`, PrefillInFlight: -5, DecodeInFlight: 3,
	}
	if err := client.Predict(context.Background(), rows, out); err != nil {
		t.Fatal(err)
	}
	if want := []latency.Prediction{{TTFT: 100, TPOT: 0.5}, {TTFT: 7, TPOT: 1.5}, {TTFT: 0, TPOT: 2.5}}; !slices.Equal(out, want) {
		t.Errorf("%v, want %v", out, want)
	}
	if err := client.Predict(context.Background(), nil, nil); err != nil {
		t.Errorf("nothing to ask: %v", err)
	}
}

func TestRequestsShareCalls(t *testing.T) {
	f := newFake(t)
	client := running(t, func(o *latency.Options) { o.Window = time.Hour; o.MaxRows = 40 }, f)
	var asked sync.WaitGroup
	for n := range 20 {
		asked.Go(func() {
			out := make([]latency.Prediction, 2)
			if err := client.Predict(context.Background(), prompts(n, n+1000), out); err != nil {
				t.Error(err)
			}
			if out[0].TTFT != float64(n) || out[1].TTFT != float64(n+1000) {
				t.Errorf("request %d got %v, which is another's", n, out)
			}
		})
	}
	asked.Wait()
	if got := f.rowsOfCalls(); !slices.Equal(got, []int{40}) {
		t.Errorf("calls of %v rows, want one of 40", got)
	}
}

func TestARequestWithMoreRowsThanACallGoesAlone(t *testing.T) {
	f := newFake(t)
	client := running(t, func(o *latency.Options) { o.Window = 0; o.MaxRows = 2 }, f)
	out := make([]latency.Prediction, 5)
	if err := client.Predict(context.Background(), prompts(1, 2, 3, 4, 5), out); err != nil || out[4].TTFT != 5 {
		t.Errorf("%v, %v", out, err)
	}
}

func TestWrongAnswers(t *testing.T) {
	text := func(status int, body string) func(http.ResponseWriter, []row) bool {
		return func(w http.ResponseWriter, _ []row) bool {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return true
		}
	}
	for name, answer := range map[string]func(http.ResponseWriter, []row) bool{
		"status 500": text(500, `{"detail":"no model"}`),
		"redirected": func(w http.ResponseWriter, _ []row) bool {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(307)
			return true
		},
		"garbage":         text(200, "<html>"),
		"empty":           text(200, ""),
		"NaN":             text(200, `{"predictions":[{"ttft_ms":NaN,"tpot_ms":1},{"ttft_ms":1,"tpot_ms":1}]}`),
		"too few":         text(200, `{"predictions":[{"ttft_ms":1,"tpot_ms":1}]}`),
		"too many":        text(200, `{"predictions":[{"ttft_ms":1,"tpot_ms":1},{"ttft_ms":1,"tpot_ms":1},{"ttft_ms":1,"tpot_ms":1}]}`),
		"null":            text(200, `{"predictions":[null,{"ttft_ms":1,"tpot_ms":1}]}`),
		"half":            text(200, `{"predictions":[{"ttft_ms":1},{"ttft_ms":1,"tpot_ms":1}]}`),
		"below zero":      text(200, `{"predictions":[{"ttft_ms":-1,"tpot_ms":1},{"ttft_ms":1,"tpot_ms":1}]}`),
		"beyond measure":  text(200, `{"predictions":[{"ttft_ms":1e300,"tpot_ms":1},{"ttft_ms":1,"tpot_ms":1}]}`),
		"longer than all": text(200, `{"predictions":[`+strings.Repeat(" ", 1<<20)),
	} {
		f := newFake(t)
		f.answering(answer)
		client := running(t, nil, f)
		out := []latency.Prediction{{TTFT: -9}, {TTFT: -9}}
		err := client.Predict(context.Background(), prompts(1, 2), out)
		if latency.Outcome(err) != "bad_answer" || out[0].TTFT != -9 {
			t.Errorf("%s: %v, error %v", name, out, err)
		}
		if name == "longer than all" && !strings.Contains(err.Error(), "longer than") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestASlowServerHoldsNobodyLongerThanItMay(t *testing.T) {
	f := newFake(t)
	hang := make(chan struct{})
	f.answering(func(http.ResponseWriter, []row) bool { <-hang; return true })
	defer close(hang)
	client := running(t, nil, f)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	err := client.Predict(ctx, prompts(1), make([]latency.Prediction, 1))
	if !errors.Is(err, context.DeadlineExceeded) || latency.Outcome(err) != "timeout" {
		t.Errorf("error %v", err)
	}
}

func TestAServerThatFailsIsLeftAloneAndTriedAgain(t *testing.T) {
	f := newFake(t)
	f.answering(func(w http.ResponseWriter, _ []row) bool { w.WriteHeader(500); return true })
	client := running(t, nil, f)
	ask := func() error { return client.Predict(context.Background(), prompts(1), make([]latency.Prediction, 1)) }
	for range 3 {
		if got := latency.Outcome(ask()); got != "bad_answer" {
			t.Fatalf("outcome %s", got)
		}
	}
	for range 5 {
		if err := ask(); !errors.Is(err, latency.ErrAway) {
			t.Fatalf("a server that failed three times is asked again at once: %v", err)
		}
	}
	if n := len(f.rowsOfCalls()); n != 3 {
		t.Errorf("%d calls, want 3", n)
	}
	f.answering(nil)
	until(t, "the server that is well again is asked", func() bool { return ask() == nil })
}

func TestAnotherServerIsAskedAtOnce(t *testing.T) {
	bad, good := newFake(t), newFake(t)
	bad.answering(func(w http.ResponseWriter, _ []row) bool { w.WriteHeader(503); return true })
	client := running(t, nil, bad, good)
	for range 50 {
		if err := client.Predict(context.Background(), prompts(1), make([]latency.Prediction, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(bad.rowsOfCalls()); n == 0 || n > 5 {
		t.Errorf("%d calls of the server that fails", n)
	}
}

func TestNobodyIsThere(t *testing.T) {
	f := newFake(t)
	f.Close()
	client := running(t, nil, f)
	until(t, "it is known that nobody is there", func() bool {
		return errors.Is(client.Predict(context.Background(), prompts(1), make([]latency.Prediction, 1)), latency.ErrAway)
	})
	idle := latency.New(latency.Defaults(), nil)
	if err := idle.Predict(context.Background(), prompts(1), make([]latency.Prediction, 1)); !errors.Is(err, latency.ErrAway) {
		t.Errorf("a client that does not run: %v", err)
	}
}

func TestCallsUnderWayAreBounded(t *testing.T) {
	f := newFake(t)
	hang := make(chan struct{})
	f.answering(func(http.ResponseWriter, []row) bool { <-hang; return false })
	client := running(t, func(o *latency.Options) { o.Window = 0; o.MaxCalls = 2 }, f)
	var asked sync.WaitGroup
	for range 10 {
		asked.Go(func() {
			if err := client.Predict(context.Background(), prompts(1), make([]latency.Prediction, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	until(t, "two calls are under way", func() bool { return len(f.rowsOfCalls()) == 2 })
	close(hang)
	asked.Wait()
	if n := len(f.rowsOfCalls()); n < 3 || n > 10 {
		t.Errorf("%d calls", n)
	}
}

func TestPredictAfterTheEnd(t *testing.T) {
	f := newFake(t)
	options := latency.Defaults()
	options.PredictionURLs = []string{f.URL}
	client := latency.New(options, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := client.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := client.Predict(context.Background(), prompts(1), make([]latency.Prediction, 1)); !errors.Is(err, latency.ErrAway) {
		t.Errorf("error %v", err)
	}
}

func TestFailuresCountInARowOnly(t *testing.T) {
	f := newFake(t)
	client := running(t, nil, f)
	for n := range 12 {
		fails := n%3 != 2
		f.answering(func(w http.ResponseWriter, _ []row) bool {
			if fails {
				w.WriteHeader(500)
			}
			return fails
		})
		err := client.Predict(context.Background(), prompts(1), make([]latency.Prediction, 1))
		if errors.Is(err, latency.ErrAway) || (err != nil) != fails {
			t.Fatalf("question %d: %v", n, err)
		}
	}
}

func TestConnectionsAreClosedAtTheEnd(t *testing.T) {
	var open atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"predictions":[{"ttft_ms":1,"tpot_ms":1}]}`)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		}
	}
	server.Start()
	defer server.Close()
	options := latency.Defaults()
	options.PredictionURLs = []string{server.URL}
	client := latency.New(options, nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx) }()
	until(t, "it predicts", func() bool {
		return client.Predict(context.Background(), prompts(1), make([]latency.Prediction, 1)) == nil
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	until(t, "no connection is left open", func() bool { return open.Load() == 0 })
}

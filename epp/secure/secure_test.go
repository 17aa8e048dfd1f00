package secure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// reviewer allows "good" everywhere but on /secret, and does not know other tokens.
type reviewer struct {
	asked int
	fails bool
}

func (r *reviewer) Review(_ context.Context, q Question) (Decision, error) {
	r.asked++
	switch {
	case r.fails:
		return Unknown, errors.New("no API server")
	case q.Token != "good":
		return Unknown, nil
	case q.Path == "/secret" || q.Verb != "get":
		return Denied, nil
	}
	return Allowed, nil
}

func guarded() (*Guard, *reviewer, http.Handler) {
	r := &reviewer{}
	g := NewGuard(r, slog.New(slog.DiscardHandler))
	return g, r, g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") }))
}

func ask(handler http.Handler, method, path, authorization string) int {
	request := httptest.NewRequest(method, path, nil)
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	if (recorder.Body.String() == "page") != (recorder.Code == http.StatusOK) {
		panic(fmt.Sprintf("%s %s: %d with %q", method, path, recorder.Code, recorder.Body))
	}
	return recorder.Code
}

func TestGuard(t *testing.T) {
	_, r, handler := guarded()
	for _, test := range []struct {
		method, path, authorization string
		want                        int
	}{
		{"GET", "/metrics", "Bearer good", 200},
		{"GET", "/metrics", "bearer good", 200},
		{"GET", "/metrics", "Bearer other", 401},
		{"GET", "/metrics", "Bearer ", 401},
		{"GET", "/metrics", "Basic good", 401},
		{"GET", "/metrics", "good", 401},
		{"GET", "/metrics", "", 401},
		{"GET", "/secret", "Bearer good", 403},
		{"POST", "/metrics", "Bearer good", 403},
	} {
		if got := ask(handler, test.method, test.path, test.authorization); got != test.want {
			t.Errorf("%s %s with %q: %d, want %d", test.method, test.path, test.authorization, got, test.want)
		}
	}
	if r.asked != 4 {
		t.Errorf("asked %d times, want 4: once for each of two tokens, one other path and one other verb", r.asked)
	}
	long := "Bearer " + string(make([]byte, maxToken+1))
	if got := ask(handler, "GET", "/metrics", long); got != 401 || r.asked != 4 {
		t.Errorf("an endless token: %d, asked %d", got, r.asked)
	}
}

func TestAnswersExpire(t *testing.T) {
	g, r, handler := guarded()
	now := time.Now()
	g.now = func() time.Time { return now }
	for _, step := range []struct {
		after time.Duration
		token string
		asked int
	}{
		{0, "good", 1}, {59 * time.Second, "good", 1}, {time.Second, "good", 2},
		{0, "bad", 3}, {9 * time.Second, "bad", 3}, {time.Second, "bad", 4},
	} {
		now = now.Add(step.after)
		ask(handler, "GET", "/metrics", "Bearer "+step.token)
		if r.asked != step.asked {
			t.Fatalf("after %s with %q asked %d times, want %d", step.after, step.token, r.asked, step.asked)
		}
	}
}

func TestFailuresAreNotRemembered(t *testing.T) {
	_, r, handler := guarded()
	r.fails = true
	if got := ask(handler, "GET", "/metrics", "Bearer good"); got != 500 {
		t.Errorf("without an API server: %d", got)
	}
	r.fails = false
	if got := ask(handler, "GET", "/metrics", "Bearer good"); got != 200 {
		t.Errorf("when it is back: %d", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	g, r, handler := guarded()
	ask(handler, "GET", "/metrics", "Bearer good")
	for i := range 3 * maxAnswers {
		ask(handler, "GET", "/metrics", fmt.Sprint("Bearer bad", i))
		if len(g.answers) > maxAnswers {
			t.Fatalf("%d answers are remembered", len(g.answers))
		}
	}
	asked := r.asked
	if ask(handler, "GET", "/metrics", "Bearer good"); r.asked != asked {
		t.Error("a flood of wrong tokens had the right one forgotten")
	}
}

package probe

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// scripted answers with the given steps in turn, and with the last one for ever.
func scripted(t *testing.T, steps ...http.HandlerFunc) Target {
	t.Helper()
	requests := make(chan int, 1)
	requests <- 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := <-requests
		requests <- n + 1
		steps[min(n, len(steps)-1)](w, r)
	}))
	t.Cleanup(server.Close)
	return Target{Address: server.Listener.Addr().String(), Host: "a.example.com", Path: "/0"}
}

func code(c int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(c) }
}

func good(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-State", "new")
	_, _ = w.Write([]byte(`{"host":"` + r.Host + `","path":"` + r.URL.Path + `"}`))
}

func stale(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("X-State", "old")
	_, _ = w.Write([]byte(`{}`))
}

// drop ends the connection without an answer.
func drop(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func isNew(a Answer) error {
	if a.Header.Get("X-State") != "new" {
		return errors.New("stale header")
	}
	if a.Echo.Host != "a.example.com" || a.Echo.Path != "/0" {
		return errors.New("wrong echo")
	}
	return nil
}

func until(target Target, consecutive int) Until {
	client := NewFresh(5 * time.Second)
	return Until{
		Get:         func(ctx context.Context) Answer { return client.Get(ctx, target) },
		Judge:       JudgeNew(isNew),
		Every:       time.Millisecond,
		Consecutive: consecutive,
		Limit:       20 * time.Second,
	}
}

func TestWrongAnswersBeforeTheFirstRightOneAreCountedByCode(t *testing.T) {
	target := scripted(t, code(404), code(404), code(503), stale, code(500), code(503), drop, good)
	since := time.Now()
	out, err := until(target, 1).Run(t.Context(), since)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"503": 2, "500": 1, "200 stale header": 1, "connection lost": 1}
	if !maps.Equal(out.Wrong, want) {
		t.Errorf("wrong answers %v, want %v", out.Wrong, want)
	}
	if out.NotYet != 2 || out.NotYetAfterFirst != 0 || out.Requests != 8 {
		t.Errorf("want 2 not yet of 8 requests, got %+v", out)
	}
	if out.First <= 0 || out.First > time.Since(since) || out.Settled != out.First || out.Took <= 0 || out.Took > out.First {
		t.Errorf("times do not fit: %+v", out)
	}
}

func TestSettledIsTheStartOfTheLastRunOfRightAnswers(t *testing.T) {
	// Two proxies: one knows the route already, the other lags and errs once.
	target := scripted(t, code(404), good, code(404), good, good, code(503), good)
	out, err := until(target, 3).Run(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if out.Requests != 9 || out.NotYet != 1 || out.NotYetAfterFirst != 1 || out.Wrong["503"] != 1 {
		t.Errorf("counted %+v", out)
	}
	if out.Settled <= out.First {
		t.Errorf("settled after %v, which is not later than the first right answer after %v", out.Settled, out.First)
	}
}

func TestRightAnswersAtOnceSettleAtTheFirst(t *testing.T) {
	out, err := until(scripted(t, good), 4).Run(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if out.Requests != 4 || out.Settled != out.First || len(out.Wrong) != 0 {
		t.Errorf("counted %+v", out)
	}
}

func TestProbingEndsAtItsLimitAndKeepsTheCounts(t *testing.T) {
	u := until(scripted(t, code(404), code(503)), 1)
	u.Limit = 300 * time.Millisecond
	out, err := u.Run(t.Context(), time.Now())
	if err == nil || !strings.Contains(err.Error(), `"503"`) {
		t.Fatalf("want an error that names the last answer, got %v", err)
	}
	if out.NotYet != 1 || out.Wrong["503"] == 0 || out.First != 0 {
		t.Errorf("counted %+v", out)
	}
}

func TestFreshClientsOpenAConnectionForEachRequest(t *testing.T) {
	remotes := make(chan string, 6)
	target := scripted(t, func(_ http.ResponseWriter, r *http.Request) { remotes <- r.RemoteAddr })
	count := func(client *Client) int {
		seen := map[string]bool{}
		for range 3 {
			if a := client.Get(t.Context(), target); a.Err != nil {
				t.Fatal(a.Err)
			}
			seen[<-remotes] = true
		}
		client.Close()
		return len(seen)
	}
	if n := count(NewFresh(5 * time.Second)); n != 3 {
		t.Errorf("a fresh client used %d connections for 3 requests", n)
	}
	if n := count(NewKept(5 * time.Second)); n != 1 {
		t.Errorf("a kept client used %d connections for 3 requests", n)
	}
}

func TestAnswersThatNeverComeAreNamed(t *testing.T) {
	hang := scripted(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if a := NewFresh(50*time.Millisecond).Get(t.Context(), hang); label(a) != "timeout" {
		t.Errorf("a server that hangs: %q (%v)", label(a), a.Err)
	}
	server := httptest.NewServer(http.HandlerFunc(good))
	gone := Target{Address: server.Listener.Addr().String(), Path: "/"}
	server.Close()
	if a := NewFresh(5*time.Second).Get(t.Context(), gone); label(a) != "connection refused" {
		t.Errorf("nobody listening: %q (%v)", label(a), a.Err)
	}
}

package probe

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Verdict on one answer: Right, NotYet, or else the name under which a wrong answer is counted.
type Verdict string

// The two verdicts that are not wrong answers.
const (
	Right  Verdict = "right"
	NotYet Verdict = "not yet"
)

// JudgeNew judges an answer on a route that did not exist before: 404 only says that the proxy does not know it yet, and 200 is right
// when the content is, too. Everything else is an answer that no configuration of the route could give.
func JudgeNew(content func(Answer) error) func(Answer) Verdict {
	return func(a Answer) Verdict {
		switch {
		case a.Err == nil && a.Code == http.StatusNotFound:
			return NotYet
		case a.Err != nil || a.Code != http.StatusOK:
			return Verdict(label(a))
		}
		if err := content(a); err != nil {
			return Verdict("200 " + err.Error())
		}
		return Right
	}
}

// Until says how to probe until the answers are right.
type Until struct {
	Get   func(context.Context) Answer
	Judge func(Answer) Verdict
	// Every is the time from one request to the next; a slower answer delays the next request.
	Every time.Duration
	// Consecutive right answers end the probing; 1 stops at the first.
	Consecutive int
	// Limit bounds the whole.
	Limit time.Duration
}

// Outcome of probing one route.
type Outcome struct {
	// First is the time from the given instant to the end of the first right answer.
	First time.Duration
	// Settled is the time to the end of the first answer of the unbroken run of right ones that ended the probing. It equals First when
	// no answer after the first right one was wrong.
	Settled time.Duration
	// Took is how long the first right answer itself took.
	Took time.Duration
	// Requests, and those of them that the route was not known to: before the first right answer, and after it.
	Requests, NotYet, NotYetAfterFirst int
	Wrong                              map[string]int
}

// Run probes until the answers are right and measures from since, which is when the change was acknowledged. The outcome is valid with
// an error, too: it holds what was counted until the limit.
func (u Until) Run(ctx context.Context, since time.Time) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, u.Limit)
	defer cancel()
	out := Outcome{Wrong: map[string]int{}}
	next := time.NewTicker(u.Every)
	defer next.Stop()

	last, run := NotYet, 0
	for {
		answer := u.Get(ctx)
		if ctx.Err() != nil {
			return out, fmt.Errorf("%d right answers in a row did not come within %v; the last of %d answers was %q",
				u.Consecutive, u.Limit, out.Requests, last)
		}
		last = u.Judge(answer)
		run = out.count(last, answer, since, run)
		if run >= u.Consecutive {
			return out, nil
		}
		select {
		case <-next.C:
		case <-ctx.Done():
		}
	}
}

// count returns the length of the run of right answers.
func (o *Outcome) count(v Verdict, a Answer, since time.Time, run int) int {
	o.Requests++
	switch {
	case v == Right:
		if o.First == 0 {
			o.First, o.Took = a.Got.Sub(since), a.Took()
		}
		if run == 0 {
			o.Settled = a.Got.Sub(since)
		}
		return run + 1
	case v == NotYet && o.First == 0:
		o.NotYet++
	case v == NotYet:
		o.NotYetAfterFirst++
	default:
		o.Wrong[string(v)]++
	}
	return 0
}

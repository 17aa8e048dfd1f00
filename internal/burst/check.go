package burst

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Expect is what a burst must have come to. Every answer must have status 200, tokens, and be complete in any
// case; the zero value asks for nothing more.
type Expect struct {
	// Proxies must each have handled a request, and no other proxy any.
	Proxies []string
	// Endpoints must contain every server that answered.
	Endpoints []string
	// MinEndpoints is how many different servers must have answered.
	MinEndpoints int
	// Sticky asks that every later turn of a group returned to the server of its first.
	Sticky bool
	// Cached asks that every later turn of a group found tokens in its server's cache.
	Cached bool
	// MinHitRate is the least share of cached prompt tokens, from 0 to 1.
	MinHitRate float64
	// MaxFirstEventDelay bounds the time from a server's writing its first event to its arrival. 0: no bound.
	MaxFirstEventDelay time.Duration
}

// Check names everything that is not as expected, nil when all is right.
func (r *Report) Check(e Expect) error {
	var wrong []error
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if len(r.Results) == 0 {
		add("no request was sent")
	}
	for i := range r.Results {
		wrong = append(wrong, checkAnswer(&r.Results[i], e)...)
	}
	wrong = append(wrong, r.checkPlaces(e)...)
	wrong = append(wrong, r.checkGroups(e)...)
	if rate := r.HitRate(); rate < e.MinHitRate {
		add("prefix hit rate is %.3f, expected at least %.3f", rate, e.MinHitRate)
	}
	return errors.Join(wrong...)
}

// checkAnswer looks at one request by itself. What follows from a failure is not named again.
func checkAnswer(x *Result, e Expect) (wrong []error) {
	add := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("request %d (group %d, turn %d): "+format,
			append([]any{x.Index, x.Group, x.Turn}, args...)...))
	}
	if x.Err != "" {
		add("%s", x.Err)
		return wrong
	}
	if x.Status != http.StatusOK {
		add("status is %d, expected 200", x.Status)
		return wrong
	}
	if x.OutputTokens == 0 {
		add("the answer has no tokens")
	}
	if x.Streamed && !x.Done {
		add("the stream ended without [DONE]")
	}
	if e.MaxFirstEventDelay > 0 && x.FirstEventDelay > e.MaxFirstEventDelay {
		add("the first event took %s from the server to here, expected at most %s", x.FirstEventDelay, e.MaxFirstEventDelay)
	}
	return wrong
}

// checkPlaces looks at who handled the requests.
func (r *Report) checkPlaces(e Expect) (wrong []error) {
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	proxies, endpoints := r.PerProxy(), r.PerEndpoint()
	if len(e.Proxies) > 0 {
		known := make(map[string]bool)
		for _, name := range e.Proxies {
			known[name] = true
			if proxies[name] == 0 {
				add("proxy %s handled no request", name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(proxies)) {
			if !known[name] {
				add("%d requests were handled by proxy %q, which is not one of the expected", proxies[name], name)
			}
		}
	}
	delete(endpoints, "") // its failure is named by itself, or nobody knows
	if len(endpoints) < e.MinEndpoints {
		add("%d servers answered (%s), expected at least %d", len(endpoints), counted(endpoints), e.MinEndpoints)
	}
	if len(e.Endpoints) > 0 {
		known := make(map[string]bool)
		for _, name := range e.Endpoints {
			known[name] = true
		}
		for _, name := range slices.Sorted(maps.Keys(endpoints)) {
			if !known[name] {
				add("%d requests were answered by %q, which is not one of the expected servers", endpoints[name], name)
			}
		}
	}
	return wrong
}

// checkGroups looks at each conversation's way.
func (r *Report) checkGroups(e Expect) (wrong []error) {
	home := make(map[int]string) // server of each group's first answer
	for _, x := range r.Results {
		if x.Err != "" {
			continue
		}
		if home[x.Group] == "" {
			home[x.Group] = x.Endpoint
			if e.Sticky && x.Endpoint == "" {
				wrong = append(wrong, fmt.Errorf("group %d turn %d: nobody knows which server answered", x.Group, x.Turn))
			}
			continue
		}
		if e.Sticky && x.Endpoint != home[x.Group] {
			wrong = append(wrong, fmt.Errorf("group %d turn %d went to %s, expected it back at %s",
				x.Group, x.Turn, dash(x.Endpoint), home[x.Group]))
		}
		if e.Cached && x.CachedTokens == 0 {
			wrong = append(wrong, fmt.Errorf("group %d turn %d found none of its %d prompt tokens cached",
				x.Group, x.Turn, x.PromptTokens))
		}
	}
	return wrong
}

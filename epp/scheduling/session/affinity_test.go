package session_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/response"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/session"
)

func affinity(t *testing.T, parameters string) *session.Affinity {
	t.Helper()
	a, err := session.New([]byte(parameters))
	if err != nil {
		t.Fatalf("%s: %v", parameters, err)
	}
	return a
}

// cycleAt is a cycle over pods a, b and c of two ranks each, with these headers.
func cycleAt(t *testing.T, now time.Time, headers ...scheduling.Header) *scheduling.Cycle {
	t.Helper()
	var specs []datalayer.Spec
	for i, pod := range []string{"a", "b", "c"} {
		for rank := range 2 {
			specs = append(specs, datalayer.Spec{Name: fmt.Sprintf("%s-rank-%d", pod, rank), Namespace: "ns", Pod: pod, Rank: rank,
				Address: fmt.Sprintf("10.0.0.%d:%d", i+1, 8000+rank)})
		}
	}
	pools := datalayer.New(datalayer.Options{})
	pools.Set("ns/pool", specs)
	pool, _ := pools.Get("ns/pool")
	c := scheduling.NewCycle(&body.Request{}, pool.Endpoints(), now)
	c.Headers = headers
	t.Cleanup(c.Release)
	return c
}

func expectBound(t *testing.T, a *session.Affinity, c *scheduling.Cycle, want int) {
	t.Helper()
	got, ok := a.Bound(c, c.Indices())
	if !ok {
		got = -1
	}
	if got != want {
		t.Errorf("bound to %d, want %d", got, want)
	}
}

func token(name string) string { return base64.StdEncoding.EncodeToString([]byte(name)) }

func TestTheTokenOfAnAnswerBringsTheNextRequestBack(t *testing.T) {
	a := affinity(t, ``)
	first := cycleAt(t, time.Now())
	expectBound(t, a, first, -1)
	answer := &response.Answer{Endpoint: first.Candidates[3]}
	a.AnswerHeaders(answer)
	set := answer.Headers()
	if len(set) != 1 || set[0].Name != "x-session-token" || set[0].Value != token("ns/b-rank-1") {
		t.Fatalf("answer headers %v", set)
	}
	expectBound(t, a, cycleAt(t, time.Now(), scheduling.Header{Name: set[0].Name, Value: set[0].Value}), 3)

	none := &response.Answer{}
	a.AnswerHeaders(none)
	if len(none.Headers()) != 0 {
		t.Errorf("an answer of no endpoint has headers %v", none.Headers())
	}
}

func TestTokens(t *testing.T) {
	a := affinity(t, `{"encodedEndpointHeaderConfig":{"header":"X-Mine"}}`)
	for value, want := range map[string]int{
		token("ns/c-rank-0"):                    4,
		token("ns/c"):                           4, // the pod's name, as other pickers write it
		token("ns/gone"):                        -1,
		token("other/a"):                        -1,
		token("ns"):                             -1,
		token(""):                               -1,
		"":                                      -1,
		"%%%":                                   -1,
		token("ns/" + strings.Repeat("c", 600)): -1,
	} {
		expectBound(t, a, cycleAt(t, time.Now(), scheduling.Header{Name: "x-mine", Value: value}), want)
	}
	expectBound(t, a, cycleAt(t, time.Now(), scheduling.Header{Name: "x-session-token", Value: token("ns/a")}), -1)
}

func TestSessionsByID(t *testing.T) {
	a := affinity(t, `{"strategy":"session_id","sessionIdConfig":{"sources":[{"header":"X-Session-Id"},{"attribute":"agent-identity"}],"evictionTtlSeconds":60}}`)
	start := time.Now()
	mine := scheduling.Header{Name: "x-session-id", Value: "s1"}

	c := cycleAt(t, start, mine)
	expectBound(t, a, c, -1)
	a.Picked(c, []int{2, 5})
	expectBound(t, a, cycleAt(t, start.Add(59*time.Second), mine), 2)
	expectBound(t, a, cycleAt(t, start.Add(61*time.Second), mine), -1)
	expectBound(t, a, cycleAt(t, start, scheduling.Header{Name: "x-session-id", Value: "s2"}), -1)

	// Each use counts, and a session follows where it was sent.
	used := cycleAt(t, start.Add(50*time.Second), mine)
	a.Picked(used, []int{4})
	expectBound(t, a, cycleAt(t, start.Add(100*time.Second), mine), 4)

	byAgent := cycleAt(t, start)
	byAgent.PutAttribute(scheduling.AgentAttribute, "s1")
	expectBound(t, a, byAgent, 4)
	both := cycleAt(t, start, scheduling.Header{Name: "x-session-id", Value: "s2"})
	both.PutAttribute(scheduling.AgentAttribute, "s1")
	expectBound(t, a, both, -1)

	answer := &response.Answer{Endpoint: c.Candidates[0]}
	a.AnswerHeaders(answer)
	if len(answer.Headers()) != 0 {
		t.Errorf("answer headers %v, want none: the client has its id", answer.Headers())
	}
	nobody := cycleAt(t, start)
	a.Picked(nobody, []int{1})
	expectBound(t, a, nobody, -1)
}

func TestParameters(t *testing.T) {
	for parameters, field := range map[string]string{
		`{"strategy":"x"}`: "strategy",
		`{"encodedEndpointHeaderConfig":{"header":"a b"}}`:                           "encodedEndpointHeaderConfig.header",
		`{"encodedEndpointHeaderConfig":{"header":""}}`:                              "encodedEndpointHeaderConfig.header",
		`{"strategy":"session_id","sessionIdConfig":{"sources":[{}]}}`:               "sessionIdConfig.sources[0]",
		`{"strategy":"session_id","sessionIdConfig":{"sources":[{"header":"é"}]}}`:   "sessionIdConfig.sources[0].header",
		`{"strategy":"session_id","sessionIdConfig":{"evictionTtlSeconds":0}}`:       "sessionIdConfig.evictionTtlSeconds",
		`{"strategy":"session_id","sessionIdConfig":{"evictionSweepSeconds":1e300}}`: "sessionIdConfig.evictionSweepSeconds",
		`{"header":"x"}`: "header",
	} {
		if _, err := session.New([]byte(parameters)); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v does not name %s", parameters, err, field)
		}
	}
	if got := affinity(t, `{"strategy":"session_id"}`).RequestHeaders(); len(got) != 1 || got[0] != "x-session-id" {
		t.Errorf("reads %v, want x-session-id", got)
	}
}

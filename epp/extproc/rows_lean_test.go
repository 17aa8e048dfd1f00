package extproc_test

import (
	"strconv"
	"strings"
	"testing"
)

// TestRowsLeanFirstPartIsRewritten: of a long body only the beginning comes here. The name in it changes, and the length of the whole with it.
func TestRowsLeanFirstPartIsRewritten(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1, rules: rewriting()})
	body := chat("food-review", longPrompt("x", 20_000))
	r := post(chatPath, body[:9000], "content-length", strconv.Itoa(len(body)))
	r.trailers = true // the end is not marked
	got := p.expectPlaced("lean", r)
	if want := strings.Replace(body[:9000], "food-review", "food-review-v2", 1); got.sent != want {
		t.Errorf("sent on: %.60s... of %d bytes, want %d", got.sent, len(got.sent), len(want))
	}
	if got.set["content-length"] != strconv.Itoa(len(body)+3) || len(got.set) != 1 {
		t.Errorf("headers set: %v for %d bytes", got.set, len(body)+3)
	}
	// A length that was not announced is not made up.
	if got := p.expectPlaced("lean", post(chatPath, body)); len(got.set) != 0 || !strings.HasPrefix(got.sent, `{"model":"food-review-v2"`) {
		t.Errorf("headers set: %v, sent on: %.60s", got.set, got.sent)
	}
	// The name stands behind what came here: nothing can be put in its place.
	last := `{"messages":[{"role":"user","content":"` + longPrompt("x", 20_000) + `"}],"model":"food-review"}`
	r = post(chatPath, last[:9000], "content-length", strconv.Itoa(len(last)))
	r.trailers = true
	if got := p.expectPlaced("lean", r); len(got.set) != 0 || got.sent != last[:9000] {
		t.Errorf("headers set: %v, %d bytes sent on", got.set, len(got.sent))
	}
	p.expectIdle()
}

// TestRowsLeanUpgrades are decided by their headers: what follows is a conversation.
func TestRowsLeanUpgrades(t *testing.T) {
	p := startPicker(t, settings{endpoints: 2})
	s := p.openLean()
	s.send(requestHeaders(false, ":path", "/v1/realtime", "upgrade", "websocket", "connection", "upgrade"))
	if answer := s.receive(); answer.GetRequestHeaders() == nil || picked(answer) == "" {
		t.Fatalf("answer %v", answer)
	}
	if requests, _ := p.totalInFlight(); requests != 1 {
		t.Errorf("%d requests in flight", requests)
	}
	s.send(responseHeaders(":status", "101"))
	if s.receive().GetResponseHeaders() == nil {
		t.Error("the answer's headers are not answered")
	}
	s.finish()
	p.expectIdle()
}

// TestRowsLeanTrailersHaveWhatPluginsReport, since the body of the answer is not shown.
func TestRowsLeanTrailersHaveWhatPluginsReport(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1, config: reporting})
	s, _ := p.ask("lean", post(chatPath, chat("m", "hi")))
	s.send(reported(t, 12, 3))
	answer := s.receive()
	cost := answer.GetDynamicMetadata().GetFields()[namespaceLB].GetStructValue().GetFields()["x-gateway-inference-request-cost"].GetNumberValue()
	if answer.GetResponseTrailers() == nil || cost != 42 {
		t.Errorf("answer %v, want a cost of 42", answer)
	}
	s.finish()
	p.expectIdle()
}

const bySession = header + `
plugins:
- {type: active-request-scorer}
- {type: session-affinity-filter, parameters: {strategy: session_id}}
`

// TestRowsSessionID: requests of a session go to one endpoint, whatever else is less busy.
func TestRowsSessionID(t *testing.T) {
	inBoth(t, settings{endpoints: 4, config: bySession}, func(t *testing.T, p *picker, protocol string) {
		homes := map[string]string{}
		var open []*stream
		for range 4 {
			for _, id := range []string{"a", "b", "c"} {
				s, got := p.ask(protocol, post(chatPath, chat("m", "hi"), "x-session-id", id))
				open = append(open, s)
				if homes[id] == "" {
					homes[id] = got.at
				}
				if got.at != homes[id] {
					t.Errorf("session %s is at %s, then at %s", id, homes[id], got.at)
				}
			}
		}
		if homes["a"] == homes["b"] || homes["b"] == homes["c"] || homes["a"] == homes["c"] {
			t.Errorf("sessions are at %v, though others are less busy", homes)
		}
		for _, s := range open {
			s.finish()
		}
		p.expectIdle()
	})
}

package extproc_test

import (
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// TestRowsProfilesByHeader sends requests to the profile that they name.
func TestRowsProfilesByHeader(t *testing.T) {
	inBoth(t, settings{endpoints: 2, config: profilesByHeader}, func(t *testing.T, p *picker, protocol string) {
		p.expectPlaced(protocol, post(chatPath, chat("m", "hi"), "epp-profile", "prefill"))
		p.expectRefused(protocol, post(chatPath, chat("m", "hi"), "epp-profile", "other"), 400,
			"inference error: BadRequest - invalid request: header epp-profile names no scheduling profile of this picker", "")
	})
}

const sticky = header + `
plugins:
- {type: active-request-scorer}
- {type: session-affinity-filter}
`

// TestRowsSessionToken: an answer has the token of its endpoint, and who repeats it comes back there.
func TestRowsSessionToken(t *testing.T) {
	p := startPicker(t, settings{endpoints: 4, config: sticky})
	token := func(headers ...string) (string, string) {
		s, got := p.ask("standard", post(chatPath, chat("m", "hi"), headers...))
		s.send(served(responseHeaders(":status", "200"), got.at))
		set := mutations(s.receive().GetResponseHeaders().GetResponse())
		s.finish()
		return set["x-session-token"], got.at
	}
	first, home := token()
	if first == "" {
		t.Fatal("no token")
	}
	for range 8 {
		if again, at := token("x-session-token", first); at != home || again != first {
			t.Fatalf("the session of %s with token %q is at %s with token %q", home, first, at, again)
		}
	}
	if _, at := token("x-session-token", "%%%"); at == "" {
		t.Error("no pick with a token that is none")
	}
	p.expectIdle()
}

const split = header + `
plugins:
- {type: disagg-profile-handler, parameters: {deciders: {prefill: always-disagg-pd-decider}}}
- {type: always-disagg-pd-decider}
- {type: decode-filter}
- {type: prefill-filter}
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: prefill-filter}]}
- {name: decode, plugins: [{pluginRef: decode-filter}]}
`

// TestRowsHeadersOfASplitRequest: the server that decodes is told who works on the prompt; what the client sent under that name goes.
func TestRowsHeadersOfASplitRequest(t *testing.T) {
	inBoth(t, settings{config: split}, func(t *testing.T, p *picker, protocol string) {
		p.pools.Set("ns/pool", []datalayer.Spec{
			{Name: "d", Namespace: "ns", Address: address(0), Labels: map[string]string{"llm-d.ai/role": "decode"}},
			{Name: "p", Namespace: "ns", Address: address(1), Labels: map[string]string{"llm-d.ai/role": "prefill"}}})
		r := post(chatPath, chat("m", longPrompt("x", 4000)), "x-prefiller-host-port", "203.0.113.9:1", "x-encoder-hosts-ports", "203.0.113.9:1")
		s, got := p.ask(protocol, r)
		if got.at != address(0) || got.set["x-prefiller-host-port"] != address(1) {
			t.Fatalf("at %q with headers %v", got.at, got.set)
		}
		if removed := strings.Join(got.common.GetHeaderMutation().GetRemoveHeaders(), ","); removed != "x-encoder-hosts-ports" {
			t.Errorf("headers removed: %s", removed)
		}
		if requests, tokens := p.inFlight(); requests[0] != 1 || requests[1] != 1 || tokens[0] != 0 || tokens[1] == 0 {
			t.Errorf("in flight %v, tokens %v", requests, tokens)
		}
		s.finish()
		p.expectIdle()
		p.pools.Set("ns/pool", []datalayer.Spec{{Name: "d", Namespace: "ns", Address: address(0)}})
		got = p.expectPlaced(protocol, r)
		if removed := strings.Join(got.common.GetHeaderMutation().GetRemoveHeaders(), ","); got.set["x-prefiller-host-port"] != "" || !strings.Contains(removed, "x-prefiller-host-port") {
			t.Errorf("with nobody to work on the prompt headers are set: %v, removed: %s", got.set, removed)
		}
	})
}

// TestRowsPortOfARank: the request goes to one port of the pod, and a header tells which rank is meant.
func TestRowsPortOfARank(t *testing.T) {
	inBoth(t, settings{config: header + "plugins: [{type: data-parallel-profile-handler, parameters: {primaryPort: 7000}}]\n"}, func(t *testing.T, p *picker, protocol string) {
		p.pools.Set("ns/pool", []datalayer.Spec{{Name: "a-rank-1", Namespace: "ns", Pod: "a", Rank: 1, Address: "10.0.0.1:8001"}})
		got := p.expectPlaced(protocol, post(chatPath, chat("m", "hi")))
		if got.at != "10.0.0.1:7000" || got.set["x-data-parallel-host-port"] != "10.0.0.1:8001" {
			t.Errorf("at %q with headers %v", got.at, got.set)
		}
		p.expectIdle()
	})
}

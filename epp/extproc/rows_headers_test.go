package extproc_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/switchyard/switchyard/epp/objective"
)

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// systemOwned are headers that mean something to the picker.
var systemOwned = []string{"x-llm-d-inference-objective", "x-gateway-inference-objective", "x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id",
	"x-gateway-destination-endpoint-subset", "x-llm-d-slo-ttft-ms", "x-slo-ttft-ms", "x-llm-d-slo-tpot-ms", "x-slo-tpot-ms",
	"x-llm-d-video-fps", "x-llm-d-video-duration-seconds", "x-llm-d-video-resolution", "x-gateway-destination-endpoint-served", "x-llm-d-request-dropped-reason"}

// TestRowsHeadersOfARequest: what is set is what the picker decides, in place of what the client sent; nothing of the client's is written back.
func TestRowsHeadersOfARequest(t *testing.T) {
	ofTheClient := []string{destination, "203.0.113.9:1", "x-other", "y", "content-type", "application/json", ":authority", "example.com"}
	for _, name := range systemOwned {
		ofTheClient = append(ofTheClient, name, "7")
	}
	seen := map[string]bool{}
	inBoth(t, settings{endpoints: 3}, func(t *testing.T, p *picker, protocol string) {
		for name, test := range map[string]struct {
			request wire
			length  string
			given   bool
		}{
			"a body":                 {post(chatPath, chat("m", "hi"), ofTheClient...), strconv.Itoa(len(chat("m", "hi"))), false},
			"a body with an id":      {post(chatPath, chat("m", "hi"), append(ofTheClient, "x-request-id", "mine")...), strconv.Itoa(len(chat("m", "hi"))), true},
			"an empty body":          {post("/other", "", ofTheClient...), "", false},
			"no body":                {bare("/v1/models", ofTheClient...), "", false},
			"no body and an id":      {bare("/v1/models", append(ofTheClient, "x-request-id", "mine")...), "", true},
			"a length that is wrong": {post(chatPath, chat("m", "hi"), append(ofTheClient, "content-length", "7")...), strconv.Itoa(len(chat("m", "hi"))), false},
		} {
			got := p.expectPlaced(protocol, test.request)
			if protocol == "lean" {
				// The pick is in the metadata alone: the proxy makes ids itself, and the body is its own.
				if len(got.set) != 0 || got.common.GetHeaderMutation() != nil {
					t.Errorf("%s: headers changed: %v", name, got.common.GetHeaderMutation())
				}
				continue
			}
			id := got.set["x-request-id"]
			if !test.given && (!uuid.MatchString(id) || seen[id]) || test.given && id != "" {
				t.Errorf("%s: x-request-id %q", name, id)
			}
			seen[id] = true
			if got.set[destination] != got.at || got.set["content-length"] != test.length || !got.common.GetClearRouteCache() {
				t.Errorf("%s: headers set: %v, route cache cleared: %t", name, got.set, got.common.GetClearRouteCache())
			}
			for name := range got.set {
				if name != destination && name != "content-length" && name != "x-request-id" {
					t.Errorf("header %s is set", name)
				}
			}
			if removed := got.common.GetHeaderMutation().GetRemoveHeaders(); len(removed) != 0 {
				t.Errorf("%s: headers removed: %v", name, removed)
			}
			for _, option := range got.common.GetHeaderMutation().GetSetHeaders() {
				if option.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
					t.Errorf("%s is not put in the place of the client's: %s", option.GetHeader().GetKey(), option.GetAppendAction())
				}
			}
			namespaces := got.answer.GetDynamicMetadata().GetFields()
			if len(namespaces) != 1 || len(namespaces[namespaceLB].GetStructValue().GetFields()) != 1 {
				t.Errorf("%s: metadata %v", name, namespaces)
			}
		}
		p.expectIdle()
	})
}

// TestRowsSeveralDestinations are one list, best first, in header and metadata alike; the first is what counts as in flight.
func TestRowsSeveralDestinations(t *testing.T) {
	inBoth(t, settings{endpoints: 3, config: header + "plugins: [{type: active-request-scorer}, {type: max-score-picker, parameters: {maxNumOfEndpoints: 3}}]\n"},
		func(t *testing.T, p *picker, protocol string) {
			first, got := p.ask(protocol, post(chatPath, chat("m", "hi")))
			second, then := p.ask(protocol, post(chatPath, chat("m", "hi")))
			list := strings.Split(then.at, ",")
			if len(list) != 3 || list[2] != strings.Split(got.at, ",")[0] {
				t.Errorf("with a request at the first of %s the next is sent to %s", got.at, then.at)
			}
			if protocol == "standard" && then.set[destination] != then.at {
				t.Errorf("header %q, metadata %q", then.set[destination], then.at)
			}
			requests, _ := p.inFlight()
			for i, endpoint := range p.pool().Endpoints() {
				if busy := endpoint.Address == list[0] || endpoint.Address == list[2]; busy != (requests[i] == 1) {
					t.Errorf("in flight %v", requests)
				}
			}
			first.finish()
			second.finish()
			p.expectIdle()
		})
}

// TestRowsNamesOfHeaders sends each header by its current and by its older name, and by both: the current one wins.
func TestRowsNamesOfHeaders(t *testing.T) {
	rules := objective.New([]objective.Objective{{Pool: "ns/pool", Name: "new", Priority: 5}, {Pool: "ns/pool", Name: "old", Priority: 3}}, nil)
	for _, test := range []struct {
		what, current, older string
		values               [2]string // by the current name, by the older one
		read                 func(seenCycle) string
		want                 [2]string
	}{
		{"objective", "x-llm-d-inference-objective", "x-gateway-inference-objective", [2]string{"new", "old"},
			func(c seenCycle) string { return strconv.Itoa(c.priority) }, [2]string{"5", "3"}},
		{"fairness id", "x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id", [2]string{"new", "old"},
			func(c seenCycle) string { return c.fairness }, [2]string{"new", "old"}},
		{"model", "x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite", [2]string{"new", "old"},
			func(c seenCycle) string { return c.target }, [2]string{"new", "old"}},
		{"time to first token", "x-llm-d-slo-ttft-ms", "x-slo-ttft-ms", [2]string{"250", "1.5"},
			func(c seenCycle) string { return c.ttft.String() }, [2]string{"250ms", "1.5ms"}},
		{"time per token", "x-llm-d-slo-tpot-ms", "x-slo-tpot-ms", [2]string{"30", " 20 "},
			func(c seenCycle) string { return c.tpot.String() }, [2]string{"30ms", "20ms"}},
	} {
		inBoth(t, settings{endpoints: 1, config: witnessed, rules: rules}, func(t *testing.T, p *picker, protocol string) {
			expect := func(want string, headers ...string) {
				t.Helper()
				p.expectPlaced(protocol, post(chatPath, chat("m", "hi"), headers...))
				if got := test.read(theWitness.last(t)); got != want {
					t.Errorf("%s by %v is %q, want %q", test.what, headers, got, want)
				}
			}
			expect(test.want[0], test.current, test.values[0])
			expect(test.want[1], test.older, test.values[1])
			expect(test.want[0], test.current, test.values[0], test.older, test.values[1])
			expect(test.want[0], test.older, test.values[1], test.current, test.values[0])
		})
	}
}

// TestRowsHeadersThatSayNothing: names that are not known and times that are none count as if they were not there.
func TestRowsHeadersThatSayNothing(t *testing.T) {
	inBoth(t, settings{endpoints: 1, config: witnessed}, func(t *testing.T, p *picker, protocol string) {
		for _, junk := range []string{"", "-1", "0", "NaN", "Inf", "1e400", "x", "12ms"} {
			p.expectPlaced(protocol, post(chatPath, chat("m", "hi"), "x-llm-d-slo-ttft-ms", junk, "x-llm-d-slo-tpot-ms", junk, "x-llm-d-inference-objective", junk, "content-length", junk))
			if got := theWitness.last(t); got.ttft != 0 || got.tpot != 0 || got.priority != 0 || got.fairness != "default-flow" || got.target != "m" {
				t.Errorf("%q is read as %+v", junk, got)
			}
		}
	})
}

// TestRowsRawValuesOfHeaders win over strings, the last of two headers of one name over the first, and plugins get those that they ask for.
func TestRowsRawValuesOfHeaders(t *testing.T) {
	inBoth(t, settings{endpoints: 1, config: witnessed}, func(t *testing.T, p *picker, protocol string) {
		r := post(chatPath, chat("m", "hi"), "x-request-id", "7", "x-watched", "1", "x-not-watched", "2")
		r.onHeaders = func(message *extprocv3.ProcessingRequest) {
			headers := message.GetRequestHeaders().GetHeaders()
			headers.Headers = append(headers.Headers, bothValues("x-llm-d-inference-fairness-id", "first", "no"), bothValues("x-llm-d-inference-fairness-id", "raw", "text"))
		}
		p.expectPlaced(protocol, r)
		got := theWitness.last(t)
		if got.fairness != "raw" || got.id != "7" || len(got.headers) != 1 || got.headers["x-watched"] != "1" || got.pool != "ns/pool" {
			t.Errorf("decided by %+v", got)
		}
	})
}

// TestRowsPaths: the first header that has a path tells the API; without any it is that of completions. The query does not count.
func TestRowsPaths(t *testing.T) {
	const embeddings = "inference error: BadRequest - invalid embeddings request: must have input field"
	const completions = "inference error: BadRequest - invalid completions request: must have prompt field"
	inBoth(t, settings{endpoints: 1}, func(t *testing.T, p *picker, protocol string) {
		for name, test := range map[string]struct {
			headers []string
			want    string
		}{
			":path":                        {[]string{":path", "/v1/embeddings", "x-original-path", "/v1/responses", "x-forwarded-path", "/v1/messages"}, embeddings},
			"x-original-path":              {[]string{"x-forwarded-path", "/v1/responses", "x-original-path", "/v1/embeddings"}, embeddings},
			"x-forwarded-path":             {[]string{"x-forwarded-path", "/v1/embeddings"}, embeddings},
			"an empty :path":               {[]string{":path", "", "x-original-path", "/v1/embeddings"}, embeddings},
			"none":                         {nil, completions},
			"a query":                      {[]string{":path", "/v1/embeddings?next=/v1/messages"}, embeddings},
			"a query with a path's suffix": {[]string{":path", "/v1/completions?/v1/chat/completions"}, completions},
			"a prefix":                     {[]string{":path", "/a/b/v1/embeddings"}, embeddings},
		} {
			t.Run(name, func(t *testing.T) {
				p.expectRefused(protocol, wire{headers: test.headers, body: `{"model":"m"}`}, 400, test.want, "")
			})
		}
	})
}

// TestRowsPreferIfAvailable, in both protocols.
func TestRowsPreferIfAvailable(t *testing.T) {
	inBoth(t, settings{endpoints: 2}, func(t *testing.T, p *picker, protocol string) {
		body := chat("m", longPrompt("x", 4000))
		const no = "inference error: PreconditionFailed - no decode worker has the requested KV cache"
		p.expectRefused(protocol, post(chatPath, body, "prefer", "if-available"), 412, no, "")
		p.expectPlaced(protocol, post(chatPath, body))
		p.expectPlaced(protocol, post(chatPath, body, "prefer", " if-available "))
		p.expectRefused(protocol, post(chatPath, chat("m", longPrompt("y", 4000)), "prefer", "if-available"), 412, no, "")
	})
}

// TestRowsTimesAreBounded: a day is the longest time that a client may ask for.
func TestRowsTimesAreBounded(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1, config: witnessed})
	for text, want := range map[string]time.Duration{"86400000": 24 * time.Hour, "86400001": 0} {
		p.expectPlaced("standard", post(chatPath, chat("m", "hi"), "x-llm-d-slo-ttft-ms", text))
		if got := theWitness.last(t).ttft; got != want {
			t.Errorf("%s ms is read as %s, want %s", text, got, want)
		}
	}
}

package extproc_test

import (
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/switchyard/switchyard/epp/datalayer"
)

const subsetNamespace, subsetName = "envoy.lb.subset_hint", destination + "-subset"

// anywhere is a configuration without preferences.
const anywhere = header + "plugins: [{type: random-picker}]\n"

// allowing adds a subset to a message.
func allowing(endpoints ...string) func(*extprocv3.ProcessingRequest) {
	return func(message *extprocv3.ProcessingRequest) { subset(message, endpoints...) }
}

// hinting adds a value of any kind in the place of a subset.
func hinting(key string, value *structpb.Value) func(*extprocv3.ProcessingRequest) {
	return func(message *extprocv3.ProcessingRequest) { withMetadata(message, subsetNamespace, key, value) }
}

// TestRowsSubsets: of the endpoints that the proxy allows the IP counts, and what the last message says.
func TestRowsSubsets(t *testing.T) {
	const nobody = "inference error: ServiceUnavailable - failed to find endpoint candidates for serving the request"
	all := []string{address(0), address(1), address(2), "[fd00::1]:8000"}
	for name, test := range map[string]struct {
		onHeaders, onBody func(*extprocv3.ProcessingRequest)
		allowed           []string // none: 503
	}{
		"none":                         {nil, nil, all},
		"with the headers":             {allowing("10.0.0.2:8000"), nil, all[1:2]},
		"with the body":                {nil, allowing("10.0.0.2:8000"), all[1:2]},
		"with both":                    {allowing("10.0.0.1:8000"), allowing("10.0.0.2:8000"), all[1:2]},
		"with both, the latter empty":  {allowing("10.0.0.1:8000"), allowing(), nil},
		"empty, then not":              {allowing(), allowing("10.0.0.2:8000"), all[1:2]},
		"another port":                 {nil, allowing("10.0.0.3:1"), all[2:3]},
		"no port":                      {nil, allowing("10.0.0.3"), all[2:3]},
		"IPv6":                         {nil, allowing("[fd00:0::1]:9"), all[3:4]},
		"IPv6 without port":            {nil, allowing("fd00::1"), all[3:4]},
		"several, one twice":           {nil, allowing("10.0.0.3:1", "10.0.0.1:2", "10.0.0.3:3", "192.0.2.1:8000"), []string{address(0), address(2)}},
		"a string with commas":         {nil, hinting(subsetName, structpb.NewStringValue("10.0.0.3:8000, 10.0.0.1:8000")), []string{address(0), address(2)}},
		"an empty list":                {nil, allowing(), nil},
		"strangers":                    {nil, allowing("192.0.2.1:8000"), nil},
		"names":                        {nil, allowing("pod-1", "localhost:8000", ""), nil},
		"another key of the namespace": {nil, hinting("x-other", structpb.NewStringValue("10.0.0.1:8000")), all},
		"a number":                     {nil, hinting(subsetName, structpb.NewNumberValue(7)), nil},
		"nothing":                      {nil, hinting(subsetName, structpb.NewNullValue()), nil},
		"an object":                    {nil, hinting(subsetName, structpb.NewStructValue(&structpb.Struct{})), nil},
		"a list of numbers":            {nil, hinting(subsetName, structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewNumberValue(1)}})), nil},
		"a list of an address and a list": {nil, hinting(subsetName, structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{
			structpb.NewListValue(&structpb.ListValue{}), structpb.NewStringValue("10.0.0.2:8000")}})), all[1:2]},
	} {
		t.Run(name, func(t *testing.T) {
			inBoth(t, settings{config: anywhere}, func(t *testing.T, p *picker, protocol string) {
				p.pools.Set("ns/pool", append(specs(3), datalayer.Spec{Name: "six", Namespace: "ns", Address: "[fd00::1]:8000"}))
				r := post(chatPath, chat("m", "hi"))
				r.onHeaders, r.onBody, r.pieces = test.onHeaders, test.onBody, 3
				if len(test.allowed) == 0 {
					p.expectRefused(protocol, r, 503, nobody, "rejected-no-endpoints")
					return
				}
				at := map[string]bool{}
				for range 12 * len(test.allowed) {
					s, got := p.ask(protocol, r)
					if got.refusal != nil {
						t.Fatalf("refused with %v", got.refusal)
					}
					at[got.at] = true
					s.finish()
				}
				for _, address := range test.allowed {
					if !at[address] {
						t.Errorf("picked %v, want %v", at, test.allowed)
					}
				}
				if len(at) != len(test.allowed) {
					t.Errorf("picked %v, want %v", at, test.allowed)
				}
				p.expectIdle()
			})
		})
	}
}

// TestRowsSubsetsOfRequestsWithoutBody come with the headers, the only message there is.
func TestRowsSubsetsOfRequestsWithoutBody(t *testing.T) {
	inBoth(t, settings{endpoints: 3}, func(t *testing.T, p *picker, protocol string) {
		r := bare("/v1/models")
		r.onHeaders = allowing("10.0.0.2:8000")
		for range 10 {
			if got := p.expectPlaced(protocol, r); got.at != address(1) {
				t.Fatalf("picked %s", got.at)
			}
		}
	})
}

// TestRowsServedEndpoint: a request is counted where it is served, whichever message of the answer tells so; what tells nothing changes nothing.
func TestRowsServedEndpoint(t *testing.T) {
	for name, test := range map[string]struct {
		value *structpb.Value
		moves bool
	}{
		"another endpoint": {structpb.NewStringValue(address(1)), true},
		"the one picked":   {structpb.NewStringValue(address(0)), false},
		"a stranger":       {structpb.NewStringValue("192.0.2.1:8000"), false},
		"no address":       {structpb.NewStringValue("x"), false},
		"empty":            {structpb.NewStringValue(""), false},
		"a number":         {structpb.NewNumberValue(7), false},
		"a list":           {structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue(address(1))}}), false},
		"nothing":          {structpb.NewNullValue(), false},
	} {
		for message, build := range map[string]func() *extprocv3.ProcessingRequest{
			"headers":  func() *extprocv3.ProcessingRequest { return responseHeaders(":status", "200") },
			"body":     func() *extprocv3.ProcessingRequest { return responseBody("{}", true) },
			"trailers": responseTrailers,
		} {
			t.Run(name+", "+message, func(t *testing.T) {
				inBoth(t, settings{endpoints: 2}, func(t *testing.T, p *picker, protocol string) {
					r := post(chatPath, chat("m", longPrompt("x", 4000)))
					r.onBody = allowing(address(0))
					s, _ := p.ask(protocol, r)
					s.send(withMetadata(build(), namespaceLB, destination+"-served", test.value))
					s.receive()
					at := map[bool]int{true: 1}[test.moves]
					if requests, _ := p.inFlight(); requests[at] != 1 || requests[1-at] != 0 {
						t.Errorf("in flight %v", requests)
					}
					s.finish()
					p.expectIdle()
				})
			})
		}
	}
}

// TestRowsServedMovesThePrompt: the endpoint that served has the work and, from then on, the prompt.
func TestRowsServedMovesThePrompt(t *testing.T) {
	inBoth(t, settings{endpoints: 2}, func(t *testing.T, p *picker, protocol string) {
		r := post(chatPath, chat("m", longPrompt("x", 8000)))
		r.onBody = allowing(address(0))
		s, _ := p.ask(protocol, r)
		_, before := p.inFlight()
		s.send(served(responseHeaders(":status", "200"), address(1)))
		s.receive()
		if _, tokens := p.inFlight(); tokens[0] != 0 || tokens[1] != before[0] || before[0] == 0 {
			t.Errorf("tokens %v, before %v", tokens, before)
		}
		s.finish()
		p.expectIdle()
		if !holds(p, address(1), address(0)) {
			t.Errorf("the prompt is not known to be at %s", address(1))
		}
	})
}

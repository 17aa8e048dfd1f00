package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/response"
	"github.com/switchyard/switchyard/epp/scheduling"
)

func load(t *testing.T, text string) *Config {
	t.Helper()
	loaded, err := Load([]byte("apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n" + text))
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// schedule has a configuration decide among pods a, b and c, whose label role is their name.
func schedule(t *testing.T, c *Config, change func(*scheduling.Cycle)) (*datalayer.Endpoint, error) {
	t.Helper()
	pools := datalayer.New(datalayer.Options{})
	var specs []datalayer.Spec
	for _, name := range []string{"a", "b", "c"} {
		specs = append(specs, datalayer.Spec{Name: name + "-rank-0", Namespace: "ns", Pod: name, Address: "10.0.0.1:" + name, Labels: map[string]string{"role": name}})
	}
	pools.Set("ns/pool", specs)
	pool, _ := pools.Get("ns/pool")
	cycle := scheduling.NewCycle(&body.Request{}, pool.Endpoints(), time.Now())
	defer cycle.Release()
	change(cycle)
	chosen, err := c.Handler.Schedule(cycle)
	if err != nil {
		return nil, err
	}
	return cycle.Candidates[chosen[0]], nil
}

func TestSessionAffinityHasASayInAnswers(t *testing.T) {
	c := load(t, "plugins: [{type: session-affinity-filter}, {type: random-picker}]\n")
	if !slices.Equal(c.RequestHeaders, []string{"x-session-token"}) || len(c.Responses) != 1 {
		t.Fatalf("reads %v, %d plugins have a say in answers", c.RequestHeaders, len(c.Responses))
	}
	first, err := schedule(t, c, func(*scheduling.Cycle) {})
	if err != nil {
		t.Fatal(err)
	}
	answer := &response.Answer{Endpoint: first}
	c.Responses[0].AnswerHeaders(answer)
	for range 20 { // by chance this would go well once in 3.4 thousand million times
		again, err := schedule(t, c, func(cycle *scheduling.Cycle) {
			cycle.Headers = scheduling.Headers{{Name: answer.Headers()[0].Name, Value: answer.Headers()[0].Value}}
		})
		if err != nil || again.Name != first.Name {
			t.Fatalf("first %s, then %v, error %v", first.Name, again, err)
		}
	}
}

func TestAPluginOfTwoProfilesHasOneSay(t *testing.T) {
	c := load(t, `
plugins: [{type: session-affinity-scorer}, {type: header-profile-handler}]
schedulingProfiles:
- {name: decode, plugins: [{pluginRef: session-affinity-scorer}]}
- {name: prefill, plugins: [{pluginRef: session-affinity-scorer}]}
`)
	if len(c.Responses) != 1 {
		t.Errorf("%d plugins have a say in answers, want 1", len(c.Responses))
	}
}

func TestHeaderProfileHandler(t *testing.T) {
	c := load(t, `
plugins:
- {name: at-a, type: label-selector-filter, parameters: {matchLabels: {role: a}}}
- {name: at-b, type: label-selector-filter, parameters: {matchLabels: {role: b}}}
- {type: header-profile-handler, parameters: {headerName: EPP-Profile, defaultProfile: b}}
schedulingProfiles:
- {name: a, plugins: [{pluginRef: at-a}]}
- {name: b, plugins: [{pluginRef: at-b}]}
`)
	if !slices.Equal(c.RequestHeaders, []string{"epp-profile"}) {
		t.Errorf("reads %v", c.RequestHeaders)
	}
	for value, want := range map[string]string{"a": "a", "b": "b", "": "b"} {
		got, err := schedule(t, c, func(cycle *scheduling.Cycle) { cycle.Headers = scheduling.Headers{{Name: "epp-profile", Value: value}} })
		if err != nil || got.Pod != want {
			t.Errorf("profile %q: %v, error %v, want %s", value, got, err, want)
		}
	}
	if _, err := schedule(t, c, func(cycle *scheduling.Cycle) { cycle.Headers = scheduling.Headers{{Name: "epp-profile", Value: "c"}} }); !errors.Is(err, scheduling.ErrBadRequest) {
		t.Errorf("an unknown profile: error %v", err)
	}
	_, err := Load([]byte("apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: header-profile-handler, parameters: {x: 1}}]\n"))
	if err == nil || !strings.Contains(err.Error(), `header-profile-handler: parameters: `) {
		t.Errorf("error %v", err)
	}
}

func TestProducersAdmittersAndIdentity(t *testing.T) {
	c := load(t, `
plugins:
- {type: session-id-producer, parameters: {cookieName: sid}}
- {type: agent-identity}
- {type: probabilistic-admitter}
- {type: session-affinity-filter, parameters: {strategy: session_id, sessionIdConfig: {sources: [{attribute: SessionID}, {attribute: agent-identity}]}}}
- {type: random-picker}
`)
	if want := []string{"cookie", "session-id", "session_id", "x-claude-code-session-id", "x-session-affinity"}; !slices.Equal(c.RequestHeaders, want) {
		t.Errorf("reads %v, want %v", c.RequestHeaders, want)
	}
	if got := c.Identity(scheduling.Headers{{Name: "session-id", Value: "agent"}}); got != "agent" {
		t.Errorf("identity %q", got)
	}
	for _, header := range []scheduling.Header{{Name: "cookie", Value: "sid=1"}, {Name: "session-id", Value: "agent"}} {
		sent := func(cycle *scheduling.Cycle) { cycle.Headers = scheduling.Headers{header} }
		first, err := schedule(t, c, sent)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if again, err := schedule(t, c, sent); err != nil || again.Name != first.Name {
				t.Fatalf("%v: first %s, then %v, error %v", header, first.Name, again, err)
			}
		}
	}
	// No metrics of anyone: the pool counts as saturated.
	if _, err := schedule(t, c, func(cycle *scheduling.Cycle) { cycle.Priority = -1 }); !errors.Is(err, scheduling.ErrNotAdmitted) {
		t.Errorf("a request that may be shed: error %v", err)
	}
}

func TestDetectorsFilterInProfiles(t *testing.T) {
	c := load(t, `
plugins: [{type: concurrency-detector, parameters: {concurrencyMode: tokens, maxTokenConcurrency: 1}}]
schedulingProfiles:
- {name: main, plugins: [{pluginRef: concurrency-detector}]}
`)
	got, err := schedule(t, c, func(cycle *scheduling.Cycle) {
		cycle.Loads[0].Tokens, cycle.Loads[1].Requests, cycle.Loads[2].Tokens = 1, 9, 1
	})
	if err != nil || got.Pod != "b" {
		t.Errorf("picked %v, error %v, want b", got, err)
	}
}

func TestDeprecatedTypesWarn(t *testing.T) {
	c := load(t, "plugins: [{type: by-label, parameters: {label: x, allowsNoLabel: true}}]\n")
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "use label-selector-filter") {
		t.Errorf("warnings %q", c.Warnings)
	}
}

package producer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/producer"
)

func produced(t *testing.T, p scheduling.Producer, attribute string, headers ...scheduling.Header) string {
	t.Helper()
	c := scheduling.NewCycle(&body.Request{}, nil, time.Now())
	defer c.Release()
	c.Headers = headers
	p.Produce(c)
	return c.Attribute(attribute)
}

func TestSessionID(t *testing.T) {
	for _, test := range []struct{ parameters, header, value, want string }{
		{``, "x-session-id", "s", "s"},
		{``, "x-other", "s", ""},
		{`{"headerName":"X-Mine"}`, "x-mine", "s", "s"},
		{`{"cookieName":"sid"}`, "cookie", "a=1; sid=s; b=2", "s"},
		{`{"cookieName":"sid"}`, "cookie", `sid="quoted"`, "quoted"},
		{`{"cookieName":"sid"}`, "cookie", "xsid=s; sid2=t", ""},
		{`{"cookieName":"sid"}`, "cookie", "sid", ""},
	} {
		p, err := producer.NewSessionID([]byte(test.parameters))
		if err != nil {
			t.Fatal(err)
		}
		if got := produced(t, p, scheduling.SessionAttribute, scheduling.Header{Name: test.header, Value: test.value}); got != test.want {
			t.Errorf("%s with %s: %s gives %q, want %q", test.parameters, test.header, test.value, got, test.want)
		}
	}
	for _, bad := range []string{`{"headerName":"a","cookieName":"b"}`, `{"cookieName":"a;b"}`, `{"headerName":"a:b"}`, `{"ttl":"1h","x":1}`} {
		if _, err := producer.NewSessionID([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestAgentIdentity(t *testing.T) {
	p, err := producer.NewAgentIdentity([]byte(`{"additionalSessionHeaders":["X-Mine"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"x-mine", "x-claude-code-session-id", "x-session-affinity", "session-id", "session_id"}; !slices.Equal(p.RequestHeaders(), want) {
		t.Errorf("reads %v, want %v", p.RequestHeaders(), want)
	}
	all := []scheduling.Header{{Name: "session_id", Value: "5"}, {Name: "session-id", Value: "4"}, {Name: "x-session-affinity", Value: "3"},
		{Name: "x-claude-code-session-id", Value: "2"}, {Name: "x-mine", Value: "1"}}
	for n, want := range []string{"", "5", "4", "3", "2", "1"} {
		if got := p.Identity(all[:n]); got != want {
			t.Errorf("with %d headers: %q, want %q", n, got, want)
		}
		if got := produced(t, p, scheduling.AgentAttribute, all[:n]...); got != want {
			t.Errorf("with %d headers the attribute is %q, want %q", n, got, want)
		}
	}
	if _, err := producer.NewAgentIdentity([]byte(`{"additionalSessionHeaders":["ok",""]}`)); err == nil {
		t.Error("an empty header name was accepted")
	}
}

package extproc_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/switchyard/switchyard/epp/objective"
)

// TestRowsHeadersThatAreNoText: clients choose values that end up in bodies, labels of metrics and logs. None of them breaks these, and
// what is shown of a value is bounded.
func TestRowsHeadersThatAreNoText(t *testing.T) {
	rules := objective.New(nil, []objective.Rewrite{{Pool: "ns/pool", Name: "any", Created: day(0), Rules: []objective.Rule{
		{Models: []string{"ruled"}, Targets: []objective.Target{{Model: "target"}}}}}})
	inBoth(t, settings{endpoints: 1, config: witnessed, rules: rules}, func(t *testing.T, p *picker, protocol string) {
		for _, value := range []string{"\xff\xfe", "\x00", "a\r\nb: c", strings.Repeat("é", 40_000), strings.Repeat("x", 255) + "é", "{}\"\\", "\u2028"} {
			for _, name := range []string{"x-llm-d-inference-fairness-id", "x-llm-d-inference-objective", rewriteHeader, "x-request-id", "prefer", "x-original-path",
				"x-llm-d-slo-ttft-ms", "content-length"} {
				got := p.expectPlaced(protocol, post(chatPath, chat("m", "hi"), name, value))
				var sent struct{ Model string }
				if err := json.Unmarshal([]byte(got.sent), &sent); err != nil || !utf8.ValidString(got.sent) {
					t.Errorf("%s: %.20q: sent on %.99q, %v", name, value, got.sent, err)
				}
				want := "m"
				if name == rewriteHeader {
					want = strings.ToValidUTF8(value, "\ufffd")
				}
				if value == "\xff\xfe" && name == rewriteHeader {
					want = "\ufffd\ufffd"
				}
				if sent.Model != want {
					t.Errorf("%s: model %.99q, want %.99q", name, sent.Model, want)
				}
			}
			p.expectRefused(protocol, post(chatPath, `{"model":`+strconv.Quote("m")+`}`, "x-llm-d-inference-fairness-id", value), 400,
				"inference error: BadRequest - invalid chat completions request: must have valid messages field", "")
		}
		p.expectPlaced(protocol, post(chatPath, chat(strings.Repeat("m", 1024), "hi")))
		p.expectPlaced(protocol, post(chatPath, chat("ruled", "hi"), "x-llm-d-inference-fairness-id", "\xff"))
		p.expectIdle()
		p.expectLabelsBounded()
	})
}

// expectLabelsBounded checks that every label of every series is text of bounded length.
func (p *picker) expectLabelsBounded() {
	p.t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if value := label.GetValue(); len(value) > 256 || !utf8.ValidString(value) {
					p.t.Errorf("%s has %s=%.40q, %d bytes", family.GetName(), label.GetName(), value, len(value))
				}
			}
		}
	}
}

// TestRowsAThousandTenants: ids that a client makes up take no more series than there may be.
func TestRowsAThousandTenants(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1})
	for i := range 1300 {
		p.expectPlaced("lean", post(chatPath, chat("m", "hi"), "x-llm-d-inference-fairness-id", "tenant-"+strconv.Itoa(i)))
	}
	if got := p.metric("llm_d_epp_request_total"); got != 1300 {
		t.Errorf("%g requests counted, want 1300", got)
	}
	if got := p.metric("llm_d_epp_request_total", "fairness_id", "other"); got != 300 {
		t.Errorf("%g requests counted for others, want 300", got)
	}
	p.expectIdle()
}

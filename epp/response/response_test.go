package response_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/response"
)

func TestServedVerifier(t *testing.T) {
	verifier, err := response.NewServedVerifier(nil)
	if err != nil {
		t.Fatal(err)
	}
	for served, want := range map[string]string{"10.0.0.1:3000": "10.0.0.1:3000", "": "fail: "} {
		answer := &response.Answer{Served: served}
		verifier.AnswerHeaders(answer)
		set := answer.Headers()
		if len(set) != 1 || set[0].Name != "x-conformance-test-served-endpoint" || !strings.HasPrefix(set[0].Value, want) {
			t.Errorf("served %q: headers %v, want one that begins with %q", served, set, want)
		}
	}
	if _, err := response.NewServedVerifier([]byte(`{"header":"x"}`)); err == nil {
		t.Error("an unknown parameter was accepted")
	}
}

func TestTheLastSetHeaderCounts(t *testing.T) {
	var answer response.Answer
	answer.SetHeader("a", "1")
	answer.SetHeader("b", "2")
	answer.SetHeader("a", "3")
	if got, want := answer.Headers(), []response.Header{{Name: "a", Value: "3"}, {Name: "b", Value: "2"}}; !slices.Equal(got, want) {
		t.Errorf("headers %v, want %v", got, want)
	}
}

package extproc_test

import (
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
)

// TestPreferIfAvailable: a request that wants its prompt cached or nothing is told so when nobody holds any of it.
func TestPreferIfAvailable(t *testing.T) {
	p := startPicker(t, settings{endpoints: 2})
	body := chat("m", longPrompt("x", 4000))
	ask := func(preference string) int32 {
		s := p.open()
		defer s.cancel()
		s.send(requestHeaders(false, ":path", chatPath, "prefer", preference))
		s.send(requestBody(body, true))
		response := s.receive()
		if immediate := response.GetImmediateResponse(); immediate != nil {
			if got := string(immediate.GetBody()); got != "inference error: PreconditionFailed - no decode worker has the requested KV cache" {
				t.Errorf("answer %q", got)
			}
			return int32(immediate.GetStatus().GetCode())
		}
		return 200
	}
	if got := ask("if-available"); got != 412 {
		t.Errorf("%d for a prompt that nobody holds, want 412", got)
	}
	if got := ask("respond-async"); got != 200 {
		t.Errorf("%d with another preference, want 200", got)
	}
	if got := ask("if-available"); got != 200 {
		t.Errorf("%d for a prompt that was placed before, want 200", got)
	}
	p.expectIdle()
}

func TestScoresAreToldWhenAskedFor(t *testing.T) {
	for _, asked := range []bool{true, false} {
		p := startPicker(t, settings{endpoints: 3, scores: asked})
		for _, protocol := range []string{"standard", "lean"} {
			s := p.open()
			if protocol == "lean" {
				s = p.openLean()
			}
			s.send(requestHeaders(false, ":path", chatPath))
			if protocol == "lean" {
				s.receive()
			}
			s.send(requestBody(chat("m", "hi"), true))
			response := s.receive()
			scores := response.GetDynamicMetadata().GetFields()[namespaceLB].GetStructValue().GetFields()[destination+"-scores"]
			if !asked {
				if scores != nil {
					t.Errorf("%s: scores %v, not asked for", protocol, scores)
				}
				continue
			}
			told := scores.GetStructValue().GetFields()
			if len(told) != 3 {
				t.Fatalf("%s: scores %v, want those of 3 endpoints", protocol, scores)
			}
			for at, score := range told {
				if _, isNumber := score.GetKind().(*structpb.Value_NumberValue); !isNumber || score.GetNumberValue() > told[picked(response)].GetNumberValue() {
					t.Errorf("%s: %s has %v, the chosen %s %v", protocol, at, score, picked(response), told[picked(response)])
				}
			}
		}
	}
}

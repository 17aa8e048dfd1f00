package extproc_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
)

// badBodies are what clients send that no model server could read, with what they are told.
func badBodies(t *testing.T) map[string][2]string {
	t.Helper()
	const prefix = "inference error: BadRequest - error unmarshaling request bodyMap: "
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write([]byte(chat("m", "hi"))); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	number := strings.Repeat("7", 1<<20)
	head := `{"model":"m","messages":[{"role":"user","content":"`
	return map[string][2]string{
		"nothing":                      {"", prefix + "unexpected end of JSON input at byte 0"},
		"blanks":                       {" \r\n\t ", prefix + "unexpected end of JSON input at byte 5"},
		"text":                         {"hello", prefix + "body is not a JSON object at byte 0"},
		"a form":                       {"model=m&prompt=x", prefix + "body is not a JSON object at byte 0"},
		"a list":                       {"[" + chat("m", "hi") + "]", prefix + "body is not a JSON object at byte 0"},
		"a string":                     {`"` + head, prefix + "body is not a JSON object at byte 0"},
		"null":                         {"null", prefix + "body is not a JSON object at byte 0"},
		"gzip":                         {zipped.String(), prefix + "body is gzip, not JSON at byte 0"},
		"zeros":                        {strings.Repeat("\x00", 100_000), prefix + "body is not a JSON object at byte 0"},
		"cut in a text":                {head + "x", prefix + fmt.Sprintf("unexpected end of JSON input at byte %d", len(head)+1)},
		"cut after a name":             {`{"model"`, prefix + "unexpected end of JSON input at byte 8"},
		"two objects":                  {chat("m", "hi") + chat("m", "hi"), prefix + fmt.Sprintf("more data after the JSON object at byte %d", len(chat("m", "hi")))},
		"10 000 lists":                 {`{"model":"m","messages":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}", prefix + "nested deeper than 512 levels at byte 535"},
		"10 000 objects":               {strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), prefix + "nested deeper than 512 levels at byte 2560"},
		"a million lists, never ended": {`{"x":` + strings.Repeat("[", 1_000_000), prefix + "nested deeper than 512 levels at byte 516"},
		"a number of 1 MB":             {`{"model":"m","messages":[1],"max_tokens":` + number + "}", prefix + "number longer than 1024 bytes at byte 1048617"},
		"an exponent of 1 MB":          {`{"model":"m","messages":[1],"x":1e` + number + "}", prefix + "number longer than 1024 bytes at byte"},
		"invalid UTF-8":                {head + "\xff\xfe\"}]}", prefix + fmt.Sprintf("invalid UTF-8 in string at byte %d", len(head))},
		"half a surrogate in bytes":    {head + "\xed\xa0\x80\"}]}", prefix + fmt.Sprintf("invalid UTF-8 in string at byte %d", len(head))},
		"a control byte in a text":     {head + "\x01\"}]}", prefix},
		"a bad escape":                 {head + `\x"}]}`, prefix},
		"a model twice, the last bad":  {`{"model":"m","model":{},"messages":[1]}`, "inference error: BadRequest - model not found in request body"},
		"messages twice, the last bad": {`{"model":"m","messages":[1],"messages":7}`, "inference error: BadRequest - invalid chat completions request: must have valid messages field"},
		"a model of 1 MB":              {`{"model":"` + number + `","messages":[1]}`, "inference error: BadRequest - model name is longer than 1024 bytes"},
	}
}

// TestRowsBadBodies: each has a clear answer, bounded in size, nothing stays in flight, and a request under way beside it is not disturbed.
func TestRowsBadBodies(t *testing.T) {
	bad := badBodies(t)
	inBoth(t, settings{endpoints: 2}, func(t *testing.T, p *picker, protocol string) {
		beside, placed := p.ask(protocol, post(chatPath, chat("m", longPrompt("x", 4000))))
		for name, test := range bad {
			for _, pieces := range []int{1, 5} {
				r := post(chatPath, test[0])
				r.pieces = pieces
				s, got := p.ask(protocol, r)
				expectRefusal(t, got.refusal, 400, test[1], "")
				if text := string(got.refusal.GetImmediateResponse().GetBody()); len(text) > 200 {
					t.Errorf("%s: an answer of %d bytes", name, len(text))
				}
				s.finish()
			}
		}
		if requests, _ := p.totalInFlight(); requests != 1 {
			t.Errorf("%d requests in flight beside the one at %s", requests, placed.at)
		}
		beside.send(responseHeaders(":status", "200"))
		beside.receive()
		beside.finish()
		p.expectIdle()
		if got := p.metric("llm_d_epp_request_error_total", "error_code", "BadRequest"); got != float64(2*len(bad)) {
			t.Errorf("%g errors counted, want %d", got, 2*len(bad))
		}
	})
}

// TestRowsOddBodies look bad and are not: what model servers read in them is what counts, and they go on as they came.
func TestRowsOddBodies(t *testing.T) {
	inBoth(t, settings{endpoints: 1, config: witnessed}, func(t *testing.T, p *picker, protocol string) {
		for name, test := range map[string]struct {
			body string
			want seenCycle
		}{
			"a name twice":          {`{"model":"x","messages":7,"max_tokens":1,"stream":true,"model":"m","messages":[1],"max_tokens":7,"stream":false}`, seenCycle{model: "m", maxTokens: 7}},
			"escapes in names":      {`{"\u006dodel":"m","\u006d\u0065ssages":[1],"m\u0061x_tokens":7,"strea\u006D":true}`, seenCycle{model: "m", maxTokens: 7, stream: true}},
			"escapes in the model":  {`{"model":"\ud83d\ude00\/\u00e9\"","messages":[1]}`, seenCycle{model: "😀/é\""}},
			"half a surrogate":      {`{"model":"m","messages":["\ud800"]}`, seenCycle{model: "m"}},
			"names of another case": {`{"model":"m","Model":"x","MESSAGES":7,"messages":[1]}`, seenCycle{model: "m"}},
			"names within others":   {`{"x":{"model":"x","messages":7},"model":"m","messages":[{"model":"y"}]}`, seenCycle{model: "m"}},
			"a limit below zero":    {`{"model":"m","messages":[1],"max_tokens":-7}`, seenCycle{model: "m"}},
			"a limit that is text":  {`{"model":"m","messages":[1],"max_tokens":"7"}`, seenCycle{model: "m"}},
			"a stream that is text": {`{"model":"m","messages":[1],"stream":"true"}`, seenCycle{model: "m"}},
			"a name of 1 MB":        {`{"` + strings.Repeat("n", 1<<20) + `":1,"model":"m","messages":[1]}`, seenCycle{model: "m"}},
			"511 levels":            {`{"model":"m","messages":` + strings.Repeat("[", 511) + strings.Repeat("]", 511) + "}", seenCycle{model: "m"}},
			"blanks all over":       {" \n{ \"model\"\t:\r\n\"m\" , \"messages\" : [ 1 ] } \n", seenCycle{model: "m"}},
		} {
			got := p.expectPlaced(protocol, post(chatPath, test.body))
			seen := theWitness.last(t)
			if seen.model != test.want.model || seen.maxTokens != test.want.maxTokens || seen.stream != test.want.stream {
				t.Errorf("%s: read as %+v", name, seen)
			}
			if got.sent != test.body {
				t.Errorf("%s: the body changed", name)
			}
		}
		p.expectIdle()
	})
}

// TestRowsRewritesOfOddBodies put the name where the model server looks for it.
func TestRowsRewritesOfOddBodies(t *testing.T) {
	inBoth(t, settings{endpoints: 1, rules: rewriting()}, func(t *testing.T, p *picker, protocol string) {
		for body, want := range map[string]string{
			`{"model":"x","messages":[1],"model":"food-review"}`:           `{"model":"x","messages":[1],"model":"food-review-v2"}`,
			`{"m\u006fdel" : "food-review" ,"messages":["food-review"]}`:   `{"m\u006fdel" : "food-review-v2" ,"messages":["food-review"]}`,
			`{"model":"food\u002dreview","messages":[1]}`:                  `{"model":"food-review-v2","messages":[1]}`,
			`{"a":{"model":"food-review"},"messages":[1],"model":"other"}`: `{"a":{"model":"food-review"},"messages":[1],"model":"other"}`,
		} {
			if got := p.expectPlaced(protocol, post(chatPath, body)); got.sent != want {
				t.Errorf("%s is sent on as %s", body, got.sent)
			}
		}
	})
}

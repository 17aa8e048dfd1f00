package extproc

import (
	"strings"
	"testing"
)

func TestUsageIsFoundHoweverTheBodyIsCut(t *testing.T) {
	for name, test := range map[string]struct {
		body string
		want usage
	}{
		"chat events": {"data: {\"choices\":[{\"delta\":{\"content\":\"the \\\"usage\\\": {\\\"prompt_tokens\\\":99}\"}}],\"usage\":null}\n\n" +
			"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":8}}}\n\ndata: [DONE]\n\n",
			usage{12, 3, 8}},
		"plain JSON": {`{"id":"x", "usage" : { "prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5 }, "choices":[]}`, usage{5, 0, -1}},
		"responses":  {`event: response.completed` + "\n" + `data: {"response":{"usage":{"input_tokens":7,"output_tokens":9,"input_tokens_details":{"cached_tokens":0}}}}`, usage{7, 9, 0}},
		"anthropic events": {`data: {"type":"message_start","message":{"usage":{"input_tokens":25,"output_tokens":1,"cache_read_input_tokens":16}}}` + "\n\n" +
			`data: {"type":"message_delta","usage":{"output_tokens":15}}`, usage{25, 15, 16}},
		"none":             {`{"choices":[],"usag":1,"u":"usage"}`, usage{-1, -1, -1}},
		"unfinished":       {`{"usage":{"prompt_tokens":1`, usage{-1, -1, -1}},
		"braces in string": {`{"usage":{"note":"}{\"","prompt_tokens":4}}`, usage{4, -1, -1}},
		"too long":         {`{"usage":{"x":"` + strings.Repeat("y", maxUsageObject) + `","prompt_tokens":4}} {"usage":{"prompt_tokens":6}}`, usage{6, -1, -1}},
		"quotes in a row":  {`"""usage"":{"prompt_tokens":1},"usage"usage":1,"usage":{"prompt_tokens":2}`, usage{2, -1, -1}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 5, 7, 8, 13, 64, len(test.body)} {
				scanner := &usageScanner{found: noUsage}
				for rest := test.body; rest != ""; rest = rest[min(size, len(rest)):] {
					scanner.write([]byte(rest[:min(size, len(rest))]))
				}
				if scanner.found != test.want {
					t.Fatalf("in pieces of %d: %+v, want %+v", size, scanner.found, test.want)
				}
				if cap(scanner.pending) > 4*maxUsageObject {
					t.Fatalf("in pieces of %d: keeps %d bytes", size, cap(scanner.pending))
				}
			}
		})
	}
}

// FuzzUsage checks that the way a body is cut makes no difference.
func FuzzUsage(f *testing.F) {
	f.Add(`{"usage":{"prompt_tokens":5}}"usage""usage":{`, 3)
	f.Fuzz(func(t *testing.T, body string, size int) {
		if size <= 0 {
			return
		}
		whole, pieces := &usageScanner{found: noUsage}, &usageScanner{found: noUsage}
		whole.write([]byte(body))
		for rest := body; rest != ""; rest = rest[min(size, len(rest)):] {
			pieces.write([]byte(rest[:min(size, len(rest))]))
		}
		if whole.found != pieces.found {
			t.Fatalf("whole %+v, in pieces of %d %+v", whole.found, size, pieces.found)
		}
	})
}

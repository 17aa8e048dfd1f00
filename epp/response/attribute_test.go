package response_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/response"
)

func reporter(t *testing.T, expression, condition string) *response.RequestAttributeReporter {
	t.Helper()
	given, err := json.Marshal(map[string]any{"attributes": []any{map[string]any{
		"key": map[string]any{"name": "cost"}, "expression": expression, "condition": condition,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	made, err := response.NewRequestAttributeReporter(given)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestRequestAttributeReporter(t *testing.T) {
	all := response.Usage{Input: 100, Output: 20, Cached: 60}
	input := response.Usage{Input: 100, Output: -1, Cached: -1}
	for _, test := range []struct {
		name, expression, condition string
		usage                       response.Usage
		want                        int64 // 0: nothing is reported
	}{
		{"a sum", "usage.prompt_tokens + usage.completion_tokens", "", all, 120},
		{"the total", "usage.total_tokens", "", all, 120},
		{"cached", "usage.prompt_tokens - usage.cached_tokens", "", all, 40},
		{"cached, nested", "usage.prompt_tokens_details.cached_tokens", "", all, 60},
		{"a double is cut", "usage.prompt_tokens * 0.1 + usage.completion_tokens * 0.5 + 0.9", "", all, 20},
		{"whole factors", "usage.prompt_tokens + usage.completion_tokens * 4", "", all, 180},
		{"a uint", "uint(usage.prompt_tokens)", "", all, 100},
		{"defaults of another type", "(has(usage.prompt_tokens) ? usage.prompt_tokens : 0) + (has(usage.completion_tokens) ? usage.completion_tokens : 0)", "", input, 100},
		{"the condition holds", "usage.prompt_tokens", "has(usage.prompt_tokens) && usage.prompt_tokens > 99", all, 100},
		{"the condition does not hold", "usage.prompt_tokens", "has(usage.completion_tokens)", input, 0},
		{"the condition is no bool", "usage.prompt_tokens", "usage.prompt_tokens", all, 0},
		{"the condition fails", "usage.prompt_tokens", "usage.completion_tokens > 3.0", input, 0},
		{"not reported by the server", "usage.completion_tokens", "", input, 0},
		{"no total of a part", "usage.total_tokens", "", input, 0},
		{"a text", "usage.prompt_tokens > 1.0 ? dyn('x') : dyn(1)", "", all, 0},
		{"zero", "usage.prompt_tokens - 100.0", "", all, 0},
		{"below zero", "usage.prompt_tokens - 101.0", "", all, 0},
		{"divided by zero", "usage.prompt_tokens / 0.0", "", all, 0},
		{"not a number", "(usage.prompt_tokens - 100.0) / 0.0", "", all, 0},
		{"too large", "usage.prompt_tokens * 1e300", "", all, 0},
		{"too large an integer", "int(usage.prompt_tokens) * 9007199254740992", "", all, 0},
	} {
		namespace, name, value, ok := reporter(t, test.expression, test.condition).Report(test.usage)
		if ok != (test.want != 0) || ok && (namespace != "envoy.lb" || name != "cost" || value != test.want) {
			t.Errorf("%s: %q %q %d, %t; want %d", test.name, namespace, name, value, ok, test.want)
		}
	}
}

func TestRequestAttributeReporterNamespace(t *testing.T) {
	made, err := response.NewRequestAttributeReporter([]byte(`{"attributes":[{"key":{"namespace":"mine","name":"n"},"expression":"7"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if namespace, name, value, ok := made.Report(response.Usage{}); namespace != "mine" || name != "n" || value != 7 || !ok {
		t.Errorf("%q %q %d %t", namespace, name, value, ok)
	}
}

// TestExpressionsAreBounded gives one whose cost is a power of its length.
func TestExpressionsAreBounded(t *testing.T) {
	ten := "[1,2,3,4,5,6,7,8,9,10]"
	costly := "size(" + ten + ".map(a, " + ten + ".map(b, " + ten + ".map(c, " + ten + ".map(d, " + ten + ".map(e, a+b+c+d+e))))))"
	if _, _, value, ok := reporter(t, costly, "").Report(response.Usage{}); ok {
		t.Errorf("an expression of 100 000 steps gave %d", value)
	}
}

func TestRequestAttributeReporterParameters(t *testing.T) {
	for parameters, want := range map[string]string{
		``:                  "attributes: 0 entries",
		`{"attributes":[]}`: "attributes: 0 entries",
		`{"attributes":[{"key":{"name":"a"},"expression":"1"},{"key":{"name":"b"},"expression":"1"}]}`: "attributes: 2 entries",
		`{"attributes":[{"expression":"1"}]}`:                                                      "attributes[0].key.name: missing",
		`{"attributes":[{"key":{"name":"a"}}]}`:                                                    "attributes[0].expression: missing",
		`{"attributes":[{"key":{"name":"a"},"expression":"usage."}]}`:                              "attributes[0].expression: ",
		`{"attributes":[{"key":{"name":"a"},"expression":"request.path"}]}`:                        "attributes[0].expression: ",
		`{"attributes":[{"key":{"name":"a"},"expression":"'text'"}]}`:                              "gives a string",
		`{"attributes":[{"key":{"name":"a"},"expression":"1","condition":"2"}]}`:                   "attributes[0].condition: ",
		`{"attributes":[{"key":{"name":"a"},"expression":"1","unit":"x"}]}`:                        "unit",
		`{"attributes":[{"key":{"name":"a"},"expression":"` + strings.Repeat("1+", 2100) + `1"}]}`: "at most 4096",
		`{"attributes":[{"key":{"name":"` + strings.Repeat("a", 300) + `"},"expression":"1"}]}`:    "key.name: longer",
	} {
		if _, err := response.NewRequestAttributeReporter([]byte(parameters)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: error %v, want one with %q", parameters, err, want)
		}
	}
}

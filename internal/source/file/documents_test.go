package file

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestSplitDocuments(t *testing.T) {
	cases := map[string]struct {
		name, text string
		want       []string // line|text, with line breaks as ;
	}{
		"one":                    {"a.yaml", "a: 1\n", []string{"1|a: 1;"}},
		"no final line break":    {"a.yaml", "a: 1", []string{"1|a: 1"}},
		"two":                    {"a.yaml", "a: 1\n---\nb: 2\n", []string{"1|a: 1;", "3|b: 2;"}},
		"leading separator":      {"a.yaml", "---\na: 1\n", []string{"2|a: 1;"}},
		"only comments":          {"a.yaml", "# x\n---\n\n# y\n---\na: 1\n---\n", []string{"6|a: 1;"}},
		"comment before":         {"a.yaml", "---\n# x\n\na: 1\n", []string{"4|a: 1;"}},
		"spaces after separator": {"a.yaml", "a: 1\n---  \nb: 2\n", []string{"1|a: 1;", "3|b: 2;"}},
		"comment on separator":   {"a.yaml", "a: 1\n--- # next\nb: 2\n", []string{"1|a: 1;", "3|b: 2;"}},
		"value on separator":     {"a.yaml", "a: 1\n--- {b: 2}\n", []string{"1|a: 1;", "2| {b: 2};"}},
		"end marker":             {"a.yaml", "a: 1\n...\nb: 2\n", []string{"1|a: 1;", "3|b: 2;"}},
		"dashes in a scalar":     {"a.yaml", "a: |\n  x\n  ---\n  y\n---x: 2\n", []string{"1|a: |;  x;  ---;  y;---x: 2;"}},
		"windows line breaks":    {"a.yaml", "a: 1\r\n---\r\nb: 2\r\n", []string{"1|a: 1\r;", "3|b: 2\r;"}},
		"byte order mark":        {"a.yaml", "\ufeffa: 1\n", []string{"1|a: 1;"}},
		"directive":              {"a.yaml", "%YAML 1.1\n---\na: 1\n", []string{"3|a: 1;"}},
		"empty":                  {"a.yaml", "", nil},
		"json":                   {"a.json", "{\"a\": 1}\n", []string{`1|{"a": 1}`}},
		"json sequence":          {"a.json", "\n{\"a\": 1}\n\n{\"b\":\n2} 3", []string{`2|{"a": 1}`, `4|{"b":;2}`, `5|3`}},
		"broken json":            {"a.json", "{\"a\": 1}\n{\"b\": \n", []string{`1|{"a": 1}`, `2|{"b": ;`}},
		"empty json":             {"a.JSON", " \n", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, d := range splitDocuments(c.name, []byte(c.text)) {
				got = append(got, fmt.Sprintf("%d|%s", d.line, strings.ReplaceAll(string(d.text), "\n", ";")))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// The values are those that kubectl would send: YAML 1.1, JSON numbers.
func TestParseChunkValues(t *testing.T) {
	cases := map[string]any{
		"yes":                  true,
		"off":                  false,
		"'yes'":                "yes",
		"1":                    int64(1),
		"1.0":                  int64(1),
		"1.5":                  1.5,
		"0644":                 int64(0o644),
		"0x10":                 int64(16),
		"9007199254740993":     int64(9007199254740993),
		"1e3":                  int64(1000),
		"18446744073709551615": float64(18446744073709551615),
		"2024-01-02":           "2024-01-02",
		"null":                 nil,
		"~":                    nil,
		"[1, a]":               []any{int64(1), "a"},
		"{1: a, true: b}":      map[string]any{"1": "a", "true": "b"},
		"{\"a\": [1, 2.5]}":    map[string]any{"a": []any{int64(1), 2.5}},
		"{\n\t\"a\": 1\n}":     map[string]any{"a": int64(1)},
		"a: &x {b: 1}\nc: *x":  map[string]any{"a": map[string]any{"b": int64(1)}, "c": map[string]any{"b": int64(1)}},
		"a: &x {b: 1}\nc:\n  <<: *x\n  d: 2": map[string]any{
			"a": map[string]any{"b": int64(1)}, "c": map[string]any{"b": int64(1), "d": int64(2)}},
	}
	for text, want := range cases {
		got, duplicates, err := parseChunk(chunk{text: []byte(text), line: 1}, false)
		if err != nil || len(duplicates) > 0 {
			t.Errorf("%q: %v, %v", text, duplicates, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%q gave %#v, want %#v", text, got, want)
		}
	}
}

func TestParseChunkErrors(t *testing.T) {
	cases := map[string]struct {
		text    string
		json    bool
		line    int
		message string
	}{
		"yaml":          {"a: 1\nb: [1\nc: 2\n", false, 2, "did not find expected"},
		"tab":           {"a:\n\tb: 1\n", false, 2, "cannot start any token"},
		"nan":           {"a: .nan\n", false, 0, ".nan"},
		"list as key":   {"[1]: 2\n", false, 0, ""},
		"null key":      {"~: 2\n", false, 0, "not a string"},
		"keys collide":  {"1: a\n'1': b\n", false, 0, `"1" is there twice`},
		"not utf-8":     {"a: 1\nb: \xff\n", false, 2, "not UTF-8"},
		"json":          {"{\n\"a\": 1,\n\"b\": }\n", true, 3, "invalid character"},
		"json cut":      {"{\n\"a\": 1,\n", true, 3, ""},
		"json no comma": {"{\"a\": 1\n \"b\": 2}", true, 2, "after object"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := parseChunk(chunk{text: []byte(c.text), line: 1}, c.json)
			var wrong *syntaxError
			if !errors.As(err, &wrong) {
				t.Fatalf("got %v, want a syntax error", err)
			}
			if wrong.line != c.line || !strings.Contains(wrong.message, c.message) {
				t.Errorf("got line %d: %s; want line %d: ...%s...", wrong.line, wrong.message, c.line, c.message)
			}
		})
	}
}

func TestDuplicateKeysAreFoundWithTheValue(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		text := "a: 1\nb: 2\na: 3\n"
		if asJSON {
			text = `{"a": 1, "b": 2, "a": 3}`
		}
		value, duplicates, err := parseChunk(chunk{text: []byte(text), line: 1}, asJSON)
		if err != nil || len(duplicates) != 1 || !strings.Contains(duplicates[0].message, `"a"`) {
			t.Errorf("json %v: duplicates %v, error %v", asJSON, duplicates, err)
		}
		if m, ok := value.(map[string]any); !ok || m["b"] != int64(2) {
			t.Errorf("json %v: value is %v", asJSON, value)
		}
	}
}

// A small text may not expand into a large document.
func TestAliasBombsAreRefused(t *testing.T) {
	var b strings.Builder
	b.WriteString("big: &a \"" + strings.Repeat("x", 1<<20) + "\"\nlist:\n")
	for range 1000 {
		b.WriteString("- *a\n")
	}
	_, _, err := parseChunk(chunk{text: []byte(b.String()), line: 1}, false)
	if err == nil || !strings.Contains(err.Error(), "aliases") {
		t.Errorf("1 MiB aliased 1000 times: %v, want an error about aliases", err)
	}

	b.Reset()
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", "))
	}
	if _, _, err := parseChunk(chunk{text: []byte(b.String()), line: 1}, false); err == nil {
		t.Error("aliases of aliases, 9^12 values: no error")
	}
}

func TestLocatorLines(t *testing.T) {
	text := `apiVersion: v1
spec:
  rules:
  - name: a
    matches: [{path: x}]
  - name: b
    matches:
    - path:
        value: /x
  labels:
    "a.b/c": d
`
	cases := map[string]int{
		"":                                    1,
		"spec":                                2,
		"spec.rules":                          3,
		"spec.rules[0]":                       4,
		"spec.rules[0].matches[0].path":       5,
		"spec.rules[1]":                       6,
		"spec.rules[1].matches[0].path":       8,
		"spec.rules[1].matches[0].path.value": 9,
		"spec.rules[1].filters[2].type":       6, // the nearest that is there
		"spec.rules[7].name":                  3,
		"spec.labels[a.b/c]":                  11,
		"metadata.name":                       1,
	}
	l := &locator{text: []byte(text)}
	for field, want := range cases {
		if got := l.line(field); got != want {
			t.Errorf("line of %q is %d, want %d", field, got, want)
		}
	}
	if got := (&locator{text: []byte("a: [")}).line("a"); got != 0 {
		t.Errorf("line in a broken text is %d, want 0", got)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"backendRefs", "filters", "matches", "name", "timeouts"}
	cases := map[string]string{
		"backendRef": "backendRefs", "BackendRefs": "backendRefs", "filter": "filters", "macthes": "matches",
		"timeout": "timeouts", "nam": "name", "sessionPersistence": "", "x": "", "": "",
	}
	for unknown, want := range cases {
		if got := nearest(unknown, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", unknown, got, want)
		}
	}
}

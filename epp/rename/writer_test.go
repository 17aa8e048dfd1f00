package rename_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/rename"
)

const from, to = "org/target-1", `cli"ent`

var cases = map[string]struct{ text, want string }{
	"plain":                 {`{"model":"org/target-1","x":1}`, `{"model":"cli\"ent","x":1}`},
	"white space":           {"{\"model\" \t:\r\n  \"org/target-1\"}", "{\"model\" \t:\r\n  \"cli\\\"ent\"}"},
	"several":               {`{"model":"org/target-1","message":{"model":"org/target-1"}}`, `{"model":"cli\"ent","message":{"model":"cli\"ent"}}`},
	"events":                {"event: model\ndata: {\"model\":\"org/target-1\"}\n\ndata: {\"model\":\"org/target-1\"}\n\n", "event: model\ndata: {\"model\":\"cli\\\"ent\"}\n\ndata: {\"model\":\"cli\\\"ent\"}\n\n"},
	"escaped in the name":   {`{"model":"org\/t\u0061rget-1"}`, `{"model":"cli\"ent"}`},
	"other names":           {`{"model":"org/target-12","model":"org/target-","model":"","model":null,"models":"org/target-1","Model":"org/target-1"}`, ""},
	"other escapes":         {`{"model":"org/target-1\n","model":"\u006frg/target-2","model":"\"org/target-1"}`, ""},
	"in a string":           {`{"content":"\"model\":\"org/target-1\" {\\\"model\\\":\\\"org/target-1\\\"}"}`, ""},
	"a name that ends so":   {`{"a\"model":"org/target-1","x\\\"model":"org/target-1"}`, ""},
	"an escaped name":       {`{"mod\u0065l":"org/target-1"}`, ""},
	"an escape within":      {`{"mod\"el":"org/target-1","mod\nel":"org/target-1"}`, ""},
	"a value named so":      {`["model","org/target-1"] {"a":"model", "b":"org/target-1"}`, ""},
	"no string":             {`{"model":{"model":"x"},"model" "org/target-1", "model"::"org/target-1","model":: "org/target-1"}`, ""},
	"unfinished":            {`{"model":"org/target-1`, ""},
	"unfinished escape":     {`{"model":"org/target-1\`, ""},
	"a broken event":        {"data: {\"content\":\"cut\n\ndata: {\"model\":\"org/target-1\"}\n\n", "data: {\"content\":\"cut\n\ndata: {\"model\":\"cli\\\"ent\"}\n\n"},
	"a broken value":        {"data: {\"model\":\"org/tar\n\ndata: {\"model\":\"org/target-1\"}\n\n", "data: {\"model\":\"org/tar\n\ndata: {\"model\":\"cli\\\"ent\"}\n\n"},
	"a broken value's line": {"data: {\"model\":\"org/tar\ndata: {\"model\":\"org/target-1\"}\n", "data: {\"model\":\"org/tar\ndata: {\"model\":\"cli\\\"ent\"}\n"},
	"a comment's quote":     {": it\"s\n\ndata: {\"model\":\"org/target-1\"}", ": it\"s\n\ndata: {\"model\":\"cli\\\"ent\"}"},
	"nothing":               {"", ""},
}

// renamed writes text in pieces and joins what comes out.
func renamed(t *testing.T, pieces ...string) string {
	t.Helper()
	w := rename.New(from, to)
	var out bytes.Buffer
	for i, piece := range pieces {
		out.Write(w.Next([]byte(piece), i == len(pieces)-1))
	}
	return out.String()
}

func TestRename(t *testing.T) {
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			want := c.want
			if want == "" {
				want = c.text
			}
			if reference := replace(c.text); reference != want {
				t.Fatalf("the test's own replacement gives\n%s", reference)
			}
			if got := renamed(t, c.text); got != want {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
			for n := range c.text {
				if got := renamed(t, c.text[:n], c.text[n:]); got != want {
					t.Fatalf("cut after %d bytes:\n%s\nwant\n%s", n, got, want)
				}
				if got := renamed(t, c.text[:n/2], c.text[n/2:n], "", c.text[n:], ""); got != want {
					t.Fatalf("cut after %d and %d bytes:\n%s\nwant\n%s", n/2, n, got, want)
				}
			}
			if got := renamed(t, strings.Split(c.text, "")...); got != want {
				t.Fatalf("byte by byte:\n%s\nwant\n%s", got, want)
			}
		})
	}
}

var (
	anyString = regexp.MustCompile(`"(?:[^"\\\n]|\\[^\n])*"`)
	colon     = regexp.MustCompile(`^[ \t\r\n]*:[ \t\r\n]*$`)
)

// replace is the replacement on the whole text, made another way.
func replace(text string) string {
	var out strings.Builder
	done, before := 0, []int{0, 0}
	quoted, _ := json.Marshal(to)
	for _, at := range anyString.FindAllStringIndex(text, -1) {
		value := text[at[0]:at[1]]
		same := value == `"`+from+`"`
		if strings.Contains(value, `\`) {
			var name string
			same = json.Unmarshal([]byte(value), &name) == nil && name == from
		}
		if same && text[before[0]:before[1]] == `"model"` && colon.MatchString(text[before[1]:at[0]]) {
			out.WriteString(text[done:at[0]] + string(quoted))
			done = at[1]
		}
		before = at
	}
	return out.String() + text[done:]
}

// TestNothingIsHeldBack checks that a piece goes out as far as it cannot be changed any more.
func TestNothingIsHeldBack(t *testing.T) {
	for _, c := range []struct{ piece, want string }{
		{`{"model"`, `{"model"`},
		{`{"model": `, `{"model": `},
		{`{"model":"org`, `{"model":`},
		{`{"model":"orb`, `{"model":"orb`},
		{`{"model":"org/target-1"`, `{"model":"cli\"ent"`},
		{`{"content":"org/target-1`, `{"content":"org/target-1`},
	} {
		if got := rename.New(from, to).Next([]byte(c.piece), false); string(got) != c.want {
			t.Errorf("of %s goes out %s, want %s", c.piece, got, c.want)
		}
	}
}

// TestMemoryIsBounded writes values that may be the name for very long.
func TestMemoryIsBounded(t *testing.T) {
	w := rename.New(from, to)
	text := []byte(`{"model":"` + strings.Repeat(`\u006f`, 10_000) + `"}`)
	in, out := 0, 0
	for range 100 {
		for rest := text; len(rest) > 0; rest = rest[min(7, len(rest)):] {
			in += min(7, len(rest))
			out += len(w.Next(rest[:min(7, len(rest))], false))
			if held := in - out; held > 6*len(from)+1 {
				t.Fatalf("holds %d bytes back", held)
			}
		}
	}
}

func TestUnchangedPiecesAreNotCopied(t *testing.T) {
	piece := []byte(`data: {"id":"x","model":"other","choices":[{"delta":{"content":"model \"model\""}}]}` + "\n\n")
	w := rename.New(from, to)
	if got := w.Next(piece, false); &got[0] != &piece[0] || len(got) != len(piece) {
		t.Error("the piece is copied")
	}
	changed := []byte(`data: {"id":"x","model":"` + from + `","choices":[]}` + "\n\n")
	w.Next(changed, false)
	if n := testing.AllocsPerRun(100, func() { w.Next(piece, false); w.Next(changed, false) }); n > 0 {
		t.Errorf("%v allocations per piece", n)
	}
	for _, same := range []*rename.Writer{rename.New("a", "a"), rename.New("", "a")} {
		text := []byte(`{"model":"a","model":""}`)
		if got := same.Next(text, true); string(got) != `{"model":"a","model":""}` {
			t.Errorf("nothing to rename, and out goes %s", got)
		}
	}
}

// FuzzRename compares pieces of any size with the replacement on the whole.
func FuzzRename(f *testing.F) {
	for _, c := range cases {
		f.Add(c.text, 3)
	}
	f.Fuzz(func(t *testing.T, text string, size int) {
		if size <= 0 {
			return
		}
		w := rename.New(from, to)
		var out bytes.Buffer
		for rest := []byte(text); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			out.Write(w.Next(rest[:min(size, len(rest))], len(rest) <= size))
		}
		if want := replace(text); out.String() != want {
			t.Fatalf("in pieces of %d:\n%q\nwant\n%q", size, out.String(), want)
		}
	})
}

func BenchmarkRename(b *testing.B) {
	w := rename.New(from, to)
	event := []byte("data: {\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"" + from + "\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n")
	b.SetBytes(int64(len(event)))
	b.ReportAllocs()
	for b.Loop() {
		w.Next(event, false)
	}
}

package gatewayapi

import (
	"slices"
	"testing"
)

func TestIntersect(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"*", "*", "*"},
		{"*", "a.example.com", "a.example.com"},
		{"*", "*.example.com", "*.example.com"},
		{"a.example.com", "a.example.com", "a.example.com"},
		{"A.Example.com", "a.example.COM", "a.example.com"},
		{"a.example.com", "b.example.com", ""},
		{"*.example.com", "a.example.com", "a.example.com"},
		{"*.example.com", "b.a.example.com", "b.a.example.com"},
		{"*.example.com", "example.com", ""},
		{"*.example.com", "aexample.com", ""},
		{"*.example.com", "*.example.com", "*.example.com"},
		{"*.example.com", "*.a.example.com", "*.a.example.com"},
		{"*.example.com", "*.example.net", ""},
		{"*.example.com", "*.anexample.com", ""},
		{"*.com", "*.example.com", "*.example.com"},
		{"example.com", "*.a.example.com", ""},
	} {
		for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			got, ok := intersect(parseHostname(pair[0]), parseHostname(pair[1]))
			if ok != (c.want != "") || ok && got.String() != c.want {
				t.Errorf("intersect(%s, %s) = %s, %v; want %q", pair[0], pair[1], got, ok, c.want)
			}
		}
	}
}

func TestCovering(t *testing.T) {
	for name, want := range map[string][]string{
		"a.b.example.com": {"a.b.example.com", "*.b.example.com", "*.example.com", "*.com", "*"},
		"*.example.com":   {"*.example.com", "*.com", "*"},
		"localhost":       {"localhost", "*"},
		"*":               {"*"},
	} {
		var got []string
		for h := range parseHostname(name).covering() {
			got = append(got, h.String())
			if !h.covers(parseHostname(name)) {
				t.Errorf("%s does not cover %s", h, name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("covering(%s) = %v, want %v", name, got, want)
		}
	}
	for h := range parseHostname("a.b.c").covering() {
		if h == ".b.c" {
			break // a walk may be left early
		}
	}
}

func TestCompareHostnames(t *testing.T) {
	want := []string{"a.example.com", "b.com", "b.example.com", "*.long.example.com", "*.example.com", "*.example.net", "*.com", "*"}
	names := make([]hostname, len(want))
	for i, s := range want {
		names[len(want)-1-i] = parseHostname(s)
	}
	slices.SortFunc(names, compareHostnames)
	for i, n := range names {
		if n.String() != want[i] {
			t.Fatalf("sorted: %v, want %v", names, want)
		}
	}
}

func TestServerName(t *testing.T) {
	for name, want := range map[string]string{"*": "", "*.example.com": "*.example.com", "a.b": "a.b"} {
		if got := parseHostname(name).serverName(); got != want {
			t.Errorf("serverName(%s) = %q, want %q", name, got, want)
		}
	}
}

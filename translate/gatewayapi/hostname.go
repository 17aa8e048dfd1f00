package gatewayapi

import (
	"cmp"
	"iter"
	"strings"
)

// hostname is a name or a pattern in the form that is cheap to compare: an exact name in lower case,
// ".suffix" for the wildcard *.suffix, and "" for any host at all.
type hostname string

// parseHostname reads a hostname as written in a listener or a route.
func parseHostname(s string) hostname {
	s = strings.ToLower(s)
	if s == "*" {
		return ""
	}
	return hostname(strings.TrimPrefix(s, "*"))
}

// String gives the form of model.Host.Name: an exact name, *.suffix, or "*".
func (h hostname) String() string {
	if h == "" || h[0] == '.' {
		return "*" + string(h)
	}
	return string(h)
}

// serverName gives the form of model.Chain.SNI, where any is empty.
func (h hostname) serverName() string {
	if h == "" {
		return ""
	}
	return h.String()
}

// covers tells whether every host that n stands for is one that h stands for. A wildcard stands for one or
// more labels: *.example.com covers a.b.example.com and *.b.example.com, not example.com.
func (h hostname) covers(n hostname) bool {
	return h == "" || h == n || h[0] == '.' && strings.HasSuffix(string(n), string(h))
}

// intersect gives the hosts that both stand for; of two patterns that share a host, one covers the other.
func intersect(a, b hostname) (hostname, bool) {
	switch {
	case a.covers(b):
		return b, true
	case b.covers(a):
		return a, true
	default:
		return "", false
	}
}

// covering walks every pattern that covers h, the most specific first: h itself, the wildcards above it, any.
func (h hostname) covering() iter.Seq[hostname] {
	return func(yield func(hostname) bool) {
		for h != "" {
			if !yield(h) {
				return
			}
			dot := strings.IndexByte(string(h[1:]), '.')
			if dot < 0 {
				break
			}
			h = h[1+dot:]
		}
		yield("")
	}
}

// compareHostnames orders exact names by alphabet, then wildcards the longest first, then any.
func compareHostnames(a, b hostname) int {
	return cmp.Or(cmp.Compare(a.rank(), b.rank()), a.compareLength(b), strings.Compare(string(a), string(b)))
}

func (h hostname) rank() int {
	switch {
	case h == "":
		return 2
	case h[0] == '.':
		return 1
	default:
		return 0
	}
}

func (h hostname) compareLength(o hostname) int {
	if h.rank() != 1 {
		return 0
	}
	return cmp.Compare(len(o), len(h))
}

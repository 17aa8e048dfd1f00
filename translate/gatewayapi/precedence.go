package gatewayapi

import (
	"cmp"

	"github.com/switchyard/switchyard/translate/model"
)

// compareRules is the order in which the rules of one hostname are tried. It is total: two rules differ at
// the latest in their route's name, their place in it, or the place of their match.
//
// Exact paths come first, then regular expressions, then prefixes, and among equals the longer one. The
// specification leaves the place of regular expressions open; before prefixes, an expression is an
// exception to a prefix such as / that would otherwise hide it.
func compareRules(a, b *rule) int {
	return cmp.Or(
		cmp.Compare(pathRank(a.Match.Path.Kind), pathRank(b.Match.Path.Kind)),
		cmp.Compare(len(b.Match.Path.Value), len(a.Match.Path.Value)),
		cmp.Compare(anyMethod(a), anyMethod(b)),
		cmp.Compare(len(b.Match.Headers), len(a.Match.Headers)),
		cmp.Compare(len(b.Match.Query), len(a.Match.Query)),
		a.route.object.CreationTimestamp.Compare(b.route.object.CreationTimestamp.Time),
		a.route.key.Compare(b.route.key),
		cmp.Compare(a.index, b.index),
		cmp.Compare(a.match, b.match),
	)
}

func pathRank(kind model.MatchKind) int {
	switch kind {
	case model.Exact:
		return 0
	case model.Regex:
		return 1
	default:
		return 2
	}
}

func anyMethod(r *rule) int {
	if r.Match.Method == "" {
		return 1
	}
	return 0
}

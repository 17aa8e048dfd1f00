package gatewayapi

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// ordered are rules in the order in which they are to be tried, each better than the next by one criterion.
func ordered() []*rule {
	day := func(d int) metav1.Time { return metav1.NewTime(time.Date(2025, 1, d, 0, 0, 0, 0, time.UTC)) }
	routeOf := func(namespace, name string, created metav1.Time) *route {
		object := &gwv1.HTTPRoute{}
		object.CreationTimestamp = created
		return &route{object: object, key: source.Key{Namespace: namespace, Name: name}}
	}
	old, young := routeOf("z", "z", day(1)), routeOf("a", "a", day(2))
	sameAge, sameSpace := routeOf("a", "b", day(2)), routeOf("b", "a", day(2))
	named := func(n int) (out []model.NamedMatch) {
		for range n {
			out = append(out, model.NamedMatch{})
		}
		return out
	}
	exact := func(v string) model.Match { return model.Match{Path: model.ValueMatch{Kind: model.Exact, Value: v}} }
	regex := func(v string) model.Match { return model.Match{Path: model.ValueMatch{Kind: model.Regex, Value: v}} }
	prefix := func(v string, method string, headers, query int) model.Match {
		return model.Match{
			Path:    model.ValueMatch{Kind: model.PathPrefix, Value: v},
			Method:  method,
			Headers: named(headers),
			Query:   named(query),
		}
	}
	of := func(r *route, index, match int, m model.Match) *rule {
		return &rule{Rule: model.Rule{Match: m}, route: r, index: index, match: match}
	}
	return []*rule{
		of(sameSpace, 9, 9, exact("/long")),
		of(sameSpace, 9, 9, exact("/e")),
		of(sameSpace, 9, 9, regex("/.*x")),
		of(sameSpace, 9, 9, regex("/")),
		of(sameSpace, 9, 9, prefix("/abcd", "", 0, 0)),
		of(sameSpace, 9, 9, prefix("/ab", "GET", 0, 0)),
		of(sameSpace, 9, 9, prefix("/ab", "", 2, 0)),
		of(sameSpace, 9, 9, prefix("/ab", "", 1, 2)),
		of(sameSpace, 9, 9, prefix("/ab", "", 1, 1)),
		of(old, 9, 9, prefix("/ab", "", 1, 0)),
		of(young, 0, 7, prefix("/ab", "", 1, 0)),
		of(young, 0, 8, prefix("/ab", "", 1, 0)),
		of(young, 1, 0, prefix("/ab", "", 1, 0)),
		of(sameAge, 0, 0, prefix("/ab", "", 1, 0)),
		of(sameSpace, 0, 0, prefix("/ab", "", 1, 0)),
	}
}

func TestCompareRules(t *testing.T) {
	rules := ordered()
	for i, a := range rules {
		for j, b := range rules {
			want := min(max(i-j, -1), 1)
			if got := compareRules(a, b); got != want {
				t.Errorf("compareRules(%d, %d) = %d, want %d", i, j, got, want)
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		shuffled := slices.Clone(rules)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		slices.SortFunc(shuffled, compareRules)
		if !slices.Equal(shuffled, rules) {
			t.Fatal("the order depends on the order before")
		}
	}
}

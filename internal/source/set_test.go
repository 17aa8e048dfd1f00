package source

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func configMap(namespace, name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Data:       map[string]string{"value": value},
	}
}

func keys(s Set[*corev1.ConfigMap]) []string {
	var out []string
	for o := range s.All() {
		out = append(out, KeyOf(o).String()+"="+o.Data["value"])
	}
	return out
}

func expectKeys(t *testing.T, s Set[*corev1.ConfigMap], want ...string) {
	t.Helper()
	if got := keys(s); !slices.Equal(got, want) {
		t.Errorf("set holds %v, want %v", got, want)
	}
	if s.Len() != len(want) {
		t.Errorf("Len is %d, want %d", s.Len(), len(want))
	}
}

func TestSetIsOrderedByNamespaceAndName(t *testing.T) {
	s := NewSet(configMap("b", "a", ""), configMap("a", "z", ""), configMap("", "m", ""), configMap("a", "c", ""))
	expectKeys(t, s, "/m=", "a/c=", "a/z=", "b/a=")
}

func TestNewSetKeepsTheLaterOfTwo(t *testing.T) {
	expectKeys(t, NewSet(configMap("a", "x", "1"), configMap("a", "x", "2")), "a/x=2")
}

func TestSetGet(t *testing.T) {
	x := configMap("a", "x", "1")
	s := NewSet(x, configMap("b", "x", "2"))
	if got, ok := s.Get("a", "x"); !ok || got != x {
		t.Errorf("Get gave %v, %v; want the object itself", got, ok)
	}
	for _, absent := range []Key{{"a", "w"}, {"a", "y"}, {"", "x"}, {"c", "x"}} {
		if got, ok := s.Get(absent.Namespace, absent.Name); ok || got != nil {
			t.Errorf("Get(%s) gave %v, %v; want nothing", absent, got, ok)
		}
	}
}

func TestZeroSetIsEmpty(t *testing.T) {
	var s Set[*corev1.ConfigMap]
	if _, ok := s.Get("a", "x"); ok {
		t.Error("the zero Set has an object")
	}
	expectKeys(t, s)
	for o := range s.InNamespace("a") {
		t.Errorf("the zero Set has %v in a namespace", o)
	}
	expectKeys(t, s.With(configMap("a", "x", "1")), "a/x=1")
}

func TestSetInNamespace(t *testing.T) {
	s := NewSet(configMap("a", "1", ""), configMap("ab", "1", ""), configMap("ab", "2", ""), configMap("b", "1", ""))
	for namespace, want := range map[string][]string{"a": {"1"}, "ab": {"1", "2"}, "b": {"1"}, "": nil, "aa": nil, "c": nil} {
		var got []string
		for o := range s.InNamespace(namespace) {
			got = append(got, o.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("namespace %q holds %v, want %v", namespace, got, want)
		}
	}
	for range s.InNamespace("ab") {
		break // the iterator must take an early end
	}
}

func TestSetReplaceLeavesTheOldSetAlone(t *testing.T) {
	s := NewSet(configMap("a", "1", "old"), configMap("a", "2", "old"), configMap("a", "3", "old"))
	changed, added := configMap("a", "2", "new"), configMap("a", "0", "new")
	next := s.Replace(map[Key]**corev1.ConfigMap{
		{"a", "0"}: &added,
		{"a", "2"}: &changed,
		{"a", "3"}: nil,
		{"a", "9"}: nil, // was not there
	})
	expectKeys(t, next, "a/0=new", "a/1=old", "a/2=new")
	expectKeys(t, s, "a/1=old", "a/2=old", "a/3=old")
	expectKeys(t, next.Without(Key{"a", "1"}), "a/0=new", "a/2=new")
}

// Any sequence of replacements gives what a map would hold, in order.
func TestSetReplaceAgreesWithAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	model := map[Key]*corev1.ConfigMap{}
	var s Set[*corev1.ConfigMap]
	for step := range 500 {
		changes := map[Key]**corev1.ConfigMap{}
		for range r.IntN(6) {
			k := Key{Namespace: fmt.Sprint("n", r.IntN(3)), Name: fmt.Sprint("o", r.IntN(20))}
			if r.IntN(3) == 0 {
				changes[k] = nil
				delete(model, k)
				continue
			}
			o := configMap(k.Namespace, k.Name, fmt.Sprint(step))
			changes[k] = &o
			model[k] = o
		}
		s = s.Replace(changes)
		var want []string
		for _, k := range slices.SortedFunc(maps.Keys(model), Key.Compare) {
			want = append(want, k.String()+"="+model[k].Data["value"])
			if got, ok := s.Get(k.Namespace, k.Name); !ok || got != model[k] {
				t.Fatalf("step %d: Get(%s) gave %v, %v", step, k, got, ok)
			}
		}
		if got := keys(s); !slices.Equal(got, want) {
			t.Fatalf("step %d: set holds %v, want %v", step, got, want)
		}
	}
}

func TestRefAndProblemText(t *testing.T) {
	p := Problem{
		File: "dir/a.yaml", Document: 2, Line: 17,
		Object: Ref{Group: "g", Kind: "HTTPRoute", Namespace: "n", Name: "r"},
		Field:  "spec.rules[0]", Message: "is wrong", Fix: "mend it",
	}
	if got, want := p.Error(), "dir/a.yaml:17 (document 2): HTTPRoute/n/r: spec.rules[0]: is wrong; mend it"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := (Problem{Message: "is wrong"}).Error(), "is wrong"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := (Ref{Kind: "GatewayClass", Name: "c"}).String(), "GatewayClass/c"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRefOrder(t *testing.T) {
	sorted := []Ref{
		{Kind: "Pod", Namespace: "b", Name: "a"},
		{Kind: "Service", Namespace: "a", Name: "b"},
		{Kind: "Service", Namespace: "b", Name: "a"},
		{Kind: "Service", Namespace: "b", Name: "b"},
		{Group: "g", Kind: "A"},
	}
	for i, a := range sorted {
		for j, b := range sorted {
			if got, want := a.Compare(b), cmp.Compare(i, j); got != want {
				t.Errorf("%v against %v is %d, want %d", a, b, got, want)
			}
		}
	}
}

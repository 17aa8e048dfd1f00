package status

import (
	"math/rand/v2"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func anyConditions(r *rand.Rand, types ...string) []metav1.Condition {
	var out []metav1.Condition
	for _, i := range r.Perm(len(types))[:r.IntN(len(types)+1)] {
		status := []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse}[r.IntN(2)]
		out = append(out, at(before, condition(types[i], status, 4+r.Int64N(2))))
	}
	return out
}

func anyParents(r *rand.Rand, controllers []string, types ...string) []gwv1.RouteParentStatus {
	var out []gwv1.RouteParentStatus
	for range r.IntN(5) {
		p := routeParent(controllers[r.IntN(len(controllers))], []string{"a", "b", "c"}[r.IntN(3)], anyConditions(r, types...)...)
		if r.IntN(2) == 0 {
			p = asStored(p)
		}
		out = append(out, p)
	}
	return out
}

func foreignParents(list []gwv1.RouteParentStatus) []gwv1.RouteParentStatus {
	return slices.DeleteFunc(slices.Clone(list), func(p gwv1.RouteParentStatus) bool { return p.ControllerName == ours })
}

// Whatever is merged: a change is reported exactly when there is one, merging again changes nothing, what
// others wrote stays in its order, and what went in stays as it was.
func TestMergeRouteProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	changes := 0
	for range 20000 {
		have := &gwv1.RouteStatus{Parents: anyParents(r, []string{ours, theirs, "example.com/third"}, "Accepted", "PartiallyInvalid", "example.com/Theirs")}
		want := &gwv1.RouteStatus{Parents: anyParents(r, []string{ours}, "Accepted", "ResolvedRefs")}
		if r.IntN(3) == 0 { // often what is there already
			want.Parents = nil
			for _, p := range have.Parents {
				if p.ControllerName == ours {
					want.Parents = append(want.Parents, p)
				}
			}
		}
		haveCopy, wantCopy := have.DeepCopy(), want.DeepCopy()
		m := newMerger()
		got := mergeRoute(m, have, want)
		if m.changed == equality.Semantic.DeepEqual(&got, have) {
			t.Fatalf("changed is %v\nhave %+v\nwant %+v\ngot  %+v", m.changed, have, want, got)
		}
		if m.changed {
			changes++
		}
		again := newMerger()
		if mergeRoute(again, &got, want); again.changed {
			t.Fatalf("merging again changes something\nhave %+v\nwant %+v\ngot  %+v", have, want, got)
		}
		if !equality.Semantic.DeepEqual(foreignParents(got.Parents), foreignParents(have.Parents)) {
			t.Fatalf("entries of others changed\nhave %+v\ngot  %+v", have, got)
		}
		if !equality.Semantic.DeepEqual(have, haveCopy) || !equality.Semantic.DeepEqual(want, wantCopy) {
			t.Fatal("what went in was changed")
		}
	}
	if changes < 2000 || changes > 19000 {
		t.Errorf("%d of 20000 merges changed something: the inputs do not show much", changes)
	}
}

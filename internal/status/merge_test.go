package status

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
)

var (
	before = metav1.NewTime(time.Unix(1000, 0))
	now    = metav1.NewTime(time.Unix(2000, 0))
)

// newMerger merges into objects of generation 5; Gateway ns/g is ours.
func newMerger() *merger {
	return &merger{
		controller: ours, now: now, generation: 5,
		gatewayIsOurs: func(k source.Key) bool { return k == key("g") },
	}
}

func at(when metav1.Time, c metav1.Condition) metav1.Condition {
	c.LastTransitionTime = when
	return c
}

func TestMergeConditions(t *testing.T) {
	yes, no := metav1.ConditionTrue, metav1.ConditionFalse
	accepted := condition("Accepted", yes, 5)
	foreign := at(before, condition("example.com/Theirs", no, 1))
	reworded := accepted
	reworded.Message = "in other words"
	for name, c := range map[string]struct {
		have, want, result []metav1.Condition
		same, untimely     bool
	}{
		"new": {
			want: []metav1.Condition{accepted}, result: []metav1.Condition{at(now, accepted)},
		},
		"the same": {
			have: []metav1.Condition{at(before, accepted)}, want: []metav1.Condition{accepted},
			result: []metav1.Condition{at(before, accepted)}, same: true,
		},
		"another status has another time": {
			have: []metav1.Condition{at(before, condition("Accepted", no, 5))}, want: []metav1.Condition{accepted},
			result: []metav1.Condition{at(now, accepted)},
		},
		"another message has the same time": {
			have: []metav1.Condition{at(before, accepted)}, want: []metav1.Condition{reworded},
			result: []metav1.Condition{at(before, reworded)},
		},
		"another generation has the same time": {
			have: []metav1.Condition{at(before, condition("Accepted", yes, 4))}, want: []metav1.Condition{accepted},
			result: []metav1.Condition{at(before, accepted)},
		},
		"another type stays in its place, ours that is not wanted goes": {
			have:   []metav1.Condition{at(before, condition("Programmed", yes, 5)), foreign, at(before, accepted)},
			want:   []metav1.Condition{condition("ResolvedRefs", yes, 5), accepted},
			result: []metav1.Condition{foreign, at(before, accepted), at(now, condition("ResolvedRefs", yes, 5))},
		},
		"another type alone is no difference": {
			have: []metav1.Condition{foreign, at(before, accepted)}, want: []metav1.Condition{accepted},
			result: []metav1.Condition{foreign, at(before, accepted)}, same: true,
		},
		"the object has a condition for a newer generation": {
			have: []metav1.Condition{at(before, accepted)}, want: []metav1.Condition{condition("Accepted", no, 4)},
			result: []metav1.Condition{at(now, condition("Accepted", no, 4))}, untimely: true,
		},
		"the object has a condition for a generation that does not exist": {
			have: []metav1.Condition{at(before, condition("Accepted", yes, 99))}, want: []metav1.Condition{accepted},
			result: []metav1.Condition{at(before, accepted)},
		},
		"the wanted condition is for a generation that the object has not reached": {
			want:   []metav1.Condition{condition("Accepted", yes, 6)},
			result: []metav1.Condition{at(now, condition("Accepted", yes, 6))}, untimely: true,
		},
		"nil and empty are the same": {want: []metav1.Condition{}, same: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMerger()
			got := m.conditions(c.have, c.want, gatewayTypes)
			if !equality.Semantic.DeepEqual(got, c.result) {
				t.Errorf("got  %+v\nwant %+v", got, c.result)
			}
			if m.changed == c.same || m.untimely != c.untimely {
				t.Errorf("changed is %v, untimely is %v; want %v, %v", m.changed, m.untimely, !c.same, c.untimely)
			}
		})
	}
}

func TestMessageIsCutToWhatTheAPITakes(t *testing.T) {
	long := condition("Accepted", metav1.ConditionTrue, 5)
	long.Message = strings.Repeat("ä", maxMessage+1)
	got := newMerger().conditions(nil, []metav1.Condition{long}, gatewayTypes)
	if n := len([]rune(got[0].Message)); n != maxMessage {
		t.Errorf("the message has %d characters, want %d", n, maxMessage)
	}
	m := newMerger()
	if m.conditions(got, []metav1.Condition{long}, gatewayTypes); m.changed {
		t.Error("the message as it was cut is written again")
	}
}

func withSection(p gwv1.RouteParentStatus, section gwv1.SectionName) gwv1.RouteParentStatus {
	p.ParentRef.SectionName = &section
	return p
}

// asStored fills in what the API server fills in.
func asStored(p gwv1.RouteParentStatus) gwv1.RouteParentStatus {
	group, kind := gwv1.Group(gwv1.GroupName), gwv1.Kind("Gateway")
	p.ParentRef.Group, p.ParentRef.Kind = &group, &kind
	return p
}

func TestMergeRoute(t *testing.T) {
	accepted := condition("Accepted", metav1.ConditionTrue, 5)
	oursOf := func(gateway string) gwv1.RouteParentStatus { return routeParent(ours, gateway, accepted) }
	stored := func(gateway string) gwv1.RouteParentStatus {
		return asStored(routeParent(ours, gateway, at(before, accepted)))
	}
	fresh := func(gateway string) gwv1.RouteParentStatus { return routeParent(ours, gateway, at(now, accepted)) }
	x, y := routeParent(theirs, "x", at(before, condition("Accepted", metav1.ConditionFalse, 1))), routeParent("example.com/third", "g")
	var full []gwv1.RouteParentStatus
	for range 31 {
		full = append(full, x)
	}
	type parents = []gwv1.RouteParentStatus
	for name, c := range map[string]struct {
		have, want, result parents
		same               bool
		leftOut            int
	}{
		"first":        {want: parents{oursOf("g")}, result: parents{fresh("g")}},
		"nothing":      {same: true},
		"not ours":     {have: parents{x, y}, result: parents{x, y}, same: true},
		"the same":     {have: parents{stored("g"), x}, want: parents{oursOf("g")}, result: parents{stored("g"), x}, same: true},
		"ours is gone": {have: parents{x, stored("g"), y}, result: parents{x, y}},
		"all are gone": {have: parents{stored("g")}, result: parents{}},
		"in place, then new ones": {
			have: parents{x, stored("b"), y, stored("a")}, want: parents{oursOf("c"), oursOf("a"), oursOf("b")},
			result: parents{x, stored("b"), y, stored("a"), fresh("c")},
		},
		"two listeners of one Gateway": {
			have:   parents{withSection(stored("g"), "one"), withSection(stored("g"), "two")},
			want:   parents{withSection(oursOf("g"), "two"), withSection(oursOf("g"), "three")},
			result: parents{withSection(stored("g"), "two"), withSection(fresh("g"), "three")},
		},
		"an entry twice": {
			have: parents{stored("a"), stored("a")}, want: parents{oursOf("a"), oursOf("b")},
			result: parents{stored("a"), fresh("b")},
		},
		"a full list": {
			have: full, want: parents{oursOf("a"), oursOf("b")},
			result: append(slices.Clone(full), fresh("a")), leftOut: 1,
		},
		"another type in our entry": {
			have:   parents{routeParent(ours, "g", at(before, condition("example.com/Theirs", metav1.ConditionTrue, 1)), at(before, condition("PartiallyInvalid", metav1.ConditionTrue, 5)))},
			want:   parents{oursOf("g")},
			result: parents{routeParent(ours, "g", at(before, condition("example.com/Theirs", metav1.ConditionTrue, 1)), at(now, accepted))},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMerger()
			got := mergeRoute(m, &gwv1.RouteStatus{Parents: c.have}, &gwv1.RouteStatus{Parents: c.want})
			if !equality.Semantic.DeepEqual(got.Parents, c.result) {
				t.Errorf("got  %+v\nwant %+v", got.Parents, c.result)
			}
			if m.changed == c.same || m.leftOut != c.leftOut {
				t.Errorf("changed is %v, left out are %d; want %v, %d", m.changed, m.leftOut, !c.same, c.leftOut)
			}
			if got.Parents == nil {
				t.Error("parents is null, which the API does not take")
			}
		})
	}
}

func TestMergeRouteFindsNewerGenerations(t *testing.T) {
	m := newMerger()
	mergeRoute(m,
		&gwv1.RouteStatus{Parents: []gwv1.RouteParentStatus{routeParent(ours, "g", condition("Accepted", metav1.ConditionTrue, 5))}},
		&gwv1.RouteStatus{Parents: []gwv1.RouteParentStatus{routeParent(ours, "g", condition("Accepted", metav1.ConditionTrue, 4))}})
	if !m.untimely {
		t.Error("a newer observedGeneration is replaced by an older one")
	}
}

func poolParent(controller, gateway string, conditions ...metav1.Condition) infv1.ParentStatus {
	return infv1.ParentStatus{
		ParentRef:      infv1.ParentReference{Kind: "Gateway", Namespace: "ns", Name: infv1.ObjectName(gateway)},
		ControllerName: infv1.ControllerName(controller),
		Conditions:     conditions,
	}
}

func TestMergePool(t *testing.T) {
	accepted := condition("Accepted", metav1.ConditionTrue, 5)
	wanted, fresh, stored := poolParent(ours, "g", accepted), poolParent(ours, "g", at(now, accepted)), poolParent(ours, "g", at(before, accepted))
	placeholder := infv1.ParentStatus{ParentRef: infv1.ParentReference{Kind: "Status", Name: "default"}}
	imported := infv1.ParentStatus{ParentRef: infv1.ParentReference{Kind: "InferencePoolImport", Namespace: "ns", Name: "g"}}
	type parents = []infv1.ParentStatus
	for name, c := range map[string]struct {
		have, want, result parents
		same               bool
	}{
		"first":                                    {want: parents{wanted}, result: parents{fresh}},
		"no longer referred to":                    {have: parents{stored}, result: parents{}},
		"of another controller":                    {have: parents{poolParent(theirs, "g"), stored}, result: parents{poolParent(theirs, "g")}},
		"nameless, of our Gateway":                 {have: parents{poolParent("", "g", at(before, accepted))}, want: parents{wanted}, result: parents{stored}},
		"nameless, of our Gateway, not wanted":     {have: parents{poolParent("", "g")}, result: parents{}},
		"nameless, of somebody's Gateway":          {have: parents{poolParent("", "x")}, want: parents{wanted}, result: parents{poolParent("", "x"), fresh}},
		"nameless, of another kind":                {have: parents{imported}, want: parents{wanted}, result: parents{imported, fresh}},
		"placeholder, the pool is nothing to us":   {have: parents{placeholder}, result: parents{placeholder}, same: true},
		"placeholder, goes with the first of ours": {have: parents{placeholder}, want: parents{wanted}, result: parents{fresh}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMerger()
			got := mergePool(m, &infv1.InferencePoolStatus{Parents: c.have}, &infv1.InferencePoolStatus{Parents: c.want})
			if !equality.Semantic.DeepEqual(got.Parents, c.result) || m.changed == c.same {
				t.Errorf("got  %+v\nwant %+v; changed is %v", got.Parents, c.result, m.changed)
			}
		})
	}
}

func TestMergeGateway(t *testing.T) {
	foreign := at(before, condition("example.com/Theirs", metav1.ConditionTrue, 1))
	stored := func() *gwv1.GatewayStatus {
		s := gatewayStatus(5, 2)
		for _, list := range []*[]metav1.Condition{&s.Conditions, &s.Listeners[0].Conditions} {
			*list = []metav1.Condition{foreign, at(before, (*list)[0])}
		}
		s.Listeners[0].SupportedKinds[0].Group = ptr(gwv1.Group(gwv1.GroupName))
		s.Addresses = []gwv1.GatewayStatusAddress{{Type: ptr(gwv1.IPAddressType), Value: "10.0.0.1"}}
		return s
	}
	want := func() *gwv1.GatewayStatus {
		s := gatewayStatus(5, 2)
		s.Addresses = []gwv1.GatewayStatusAddress{{Value: "10.0.0.1"}}
		return s
	}
	for name, c := range map[string]struct {
		change func(have, want, result *gwv1.GatewayStatus)
		same   bool
	}{
		"the same": {change: func(_, _, _ *gwv1.GatewayStatus) {}, same: true},
		"addresses": {change: func(_, want, result *gwv1.GatewayStatus) {
			want.Addresses, result.Addresses = nil, nil
		}},
		"attached routes": {change: func(_, want, result *gwv1.GatewayStatus) {
			want.Listeners[0].AttachedRoutes, result.Listeners[0].AttachedRoutes = 3, 3
		}},
		"attached listener sets": {change: func(_, want, result *gwv1.GatewayStatus) {
			want.AttachedListenerSets, result.AttachedListenerSets = ptr(int32(1)), ptr(int32(1))
		}},
		"supported kinds": {change: func(_, want, result *gwv1.GatewayStatus) {
			want.Listeners[0].SupportedKinds, result.Listeners[0].SupportedKinds = nil, nil
		}},
		"a listener that is gone": {change: func(have, _, _ *gwv1.GatewayStatus) {
			have.Listeners = append(have.Listeners, gwv1.ListenerStatus{Name: "old"})
		}},
		"no status yet": {change: func(have, _, result *gwv1.GatewayStatus) {
			*have, *result = gwv1.GatewayStatus{}, *want()
			for _, list := range [][]metav1.Condition{result.Conditions, result.Listeners[0].Conditions} {
				list[0] = at(now, list[0])
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h, w, r := stored(), want(), stored()
			c.change(h, w, r)
			m := newMerger()
			got := mergeGateway(m, h, w)
			if !equality.Semantic.DeepEqual(&got, r) && !c.same || m.changed == c.same {
				t.Errorf("got  %+v\nwant %+v; changed is %v", got, *r, m.changed)
			}
		})
	}
}

func TestMergeGatewayClass(t *testing.T) {
	want := &gwv1.GatewayClassStatus{
		Conditions:        []metav1.Condition{condition("Accepted", metav1.ConditionTrue, 5)},
		SupportedFeatures: []gwv1.SupportedFeature{{Name: "A"}, {Name: "B"}},
	}
	have := &gwv1.GatewayClassStatus{
		Conditions:        []metav1.Condition{at(before, condition("Accepted", metav1.ConditionUnknown, 0)), condition("example.com/Theirs", metav1.ConditionTrue, 1)},
		SupportedFeatures: []gwv1.SupportedFeature{{Name: "A"}},
	}
	m := newMerger()
	got := mergeGatewayClass(m, have, want)
	if !m.changed || len(got.SupportedFeatures) != 2 || len(got.Conditions) != 2 || got.Conditions[0].Status != metav1.ConditionTrue {
		t.Errorf("got %+v", got)
	}
	if m = newMerger(); len(mergeGatewayClass(m, &got, want).Conditions) != 2 || m.changed {
		t.Error("merging again changes something")
	}
}

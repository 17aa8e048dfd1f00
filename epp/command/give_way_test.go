package command

import (
	"fmt"
	"log/slog"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

// fight is what a picker and others have to say about one object of each kind.
type fight struct {
	t       *testing.T
	way     *giveWay
	said    syncBuffer
	version int
}

func newFight(t *testing.T) *fight {
	f := &fight{t: t}
	f.way = newGiveWay(slog.New(slog.NewTextHandler(&f.said, nil)))
	return f
}

func spoken(message string, generation int64, kinds ...string) (out []metav1.Condition) {
	for _, kind := range kinds {
		out = append(out, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: "R", Message: message, ObservedGeneration: generation})
	}
	return out
}

// round shows the picker objects that have been touched, with these conditions, and tells whether it goes on with its own.
func (f *fight) round(have, want []metav1.Condition, uid string) bool {
	f.t.Helper()
	f.version++
	return f.again(have, want, uid)
}

// again shows the objects as they were.
func (f *fight) again(have, want []metav1.Condition, uid string) bool {
	f.t.Helper()
	meta := metav1.ObjectMeta{Namespace: "ns", Name: "o", UID: types.UID(uid), ResourceVersion: fmt.Sprint(f.version)}
	key := source.Key{Namespace: "ns", Name: "o"}
	objective := llmd.InferenceObjective{ObjectMeta: meta, Status: llmd.InferenceObjectiveStatus{Conditions: have}}
	rewrite := llmd.InferenceModelRewrite{ObjectMeta: meta, Status: llmd.InferenceModelRewriteStatus{Conditions: have}}
	objects := &source.Objects{
		InferenceObjectives:         source.NewSet(&objective),
		InferenceModelRewrites:      source.NewSet(&rewrite),
		OlderInferenceObjectives:    source.NewSet(&llmd.OlderInferenceObjective{InferenceObjective: objective}),
		OlderInferenceModelRewrites: source.NewSet(&llmd.OlderInferenceModelRewrite{InferenceModelRewrite: rewrite}),
	}
	wanted := gatewayapi.Statuses{
		InferenceObjectives:         map[source.Key]*llmd.InferenceObjectiveStatus{key: {Conditions: want}},
		InferenceModelRewrites:      map[source.Key]*llmd.InferenceModelRewriteStatus{key: {Conditions: want}},
		OlderInferenceObjectives:    map[source.Key]*llmd.InferenceObjectiveStatus{key: {Conditions: want}},
		OlderInferenceModelRewrites: map[source.Key]*llmd.InferenceModelRewriteStatus{key: {Conditions: want}},
	}
	f.way.before(objects, &wanted)
	n := len(wanted.InferenceObjectives) + len(wanted.InferenceModelRewrites) + len(wanted.OlderInferenceObjectives) + len(wanted.OlderInferenceModelRewrites)
	if n != 0 && n != 4 {
		f.t.Errorf("of four kinds %d are written", n)
	}
	return n == 4
}

func TestAPickerGivesWay(t *testing.T) {
	f := newFight(t)
	ours, theirs := spoken("ours", 1, "Accepted", "Ready"), spoken("theirs", 1, "Accepted", "Ready")
	for i := range insists {
		if !f.round(theirs, ours, "1") {
			t.Fatalf("gave way the %dth time", i+1)
		}
		for range 5 {
			if !f.again(theirs, ours, "1") {
				t.Fatal("looking at an object twice makes a difference")
			}
		}
		if !f.round(ours, ours, "1") {
			t.Fatal("what stands there is not wanted any more")
		}
	}
	for range 3 {
		if f.round(theirs, ours, "1") {
			t.Fatal("did not give way")
		}
	}
	if n := f.said.count("it is left to him"); n != 4 { // objects
		t.Errorf("told %d times", n)
	}
	if !f.round(ours, ours, "1") {
		t.Error("what stands there is not wanted any more")
	}
	if !f.round(theirs, spoken("ours", 2, "Accepted", "Ready"), "1") {
		t.Error("nothing is said about a new generation")
	}
	if !f.round(theirs, ours, "2") {
		t.Error("nothing is said about a new object of that name")
	}
}

func TestAPickerInsists(t *testing.T) {
	ours := spoken("ours", 2, "Accepted", "Ready")
	for name, have := range map[string][]metav1.Condition{
		"on an object that says nothing":               nil,
		"on what the CRD brings along":                 {{Type: "Ready", Status: metav1.ConditionUnknown, Reason: "Pending"}},
		"beside conditions of others":                  spoken("theirs", 2, "Programmed", "Healthy"),
		"over what was said about an older object":     spoken("theirs", 1, "Accepted", "Ready"),
		"where others have said a part of it":          spoken("theirs", 2, "Accepted"),
		"where a part is about an older object":        append(spoken("x", 2, "Accepted"), spoken("x", 1, "Ready")...),
		"over the same, beside conditions of nobody's": append(spoken("ours", 2, "Accepted", "Ready"), spoken("x", 2, "Other")...),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFight(t)
			for range 3 * insists {
				if !f.round(have, ours, "1") {
					t.Fatal("gave way")
				}
			}
		})
	}
	// A condition more than is wanted is another word.
	f := newFight(t)
	given := false
	for range insists + 1 {
		given = !f.round(append(spoken("ours", 2, "Accepted", "Ready"), spoken("x", 2, "Conflicted")...), ours, "1")
	}
	if !given {
		t.Error("did not give way to who says more")
	}
}

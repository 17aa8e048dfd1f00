package status

import (
	"cmp"
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

// pending is what the CRD brings along.
func pending(kind string) []metav1.Condition {
	return []metav1.Condition{{Type: kind, Status: metav1.ConditionUnknown, Reason: "Pending", LastTransitionTime: metav1.Unix(0, 0)}}
}

func ruleObjects() (objects []client.Object) {
	objective := llmd.InferenceObjective{ObjectMeta: meta("o"), Spec: llmd.InferenceObjectiveSpec{Priority: ptr[int32](7), PoolRef: llmd.PoolRef{Name: "p"}},
		Status: llmd.InferenceObjectiveStatus{Conditions: pending("Ready")}}
	rewrite := llmd.InferenceModelRewrite{ObjectMeta: meta("r"), Status: llmd.InferenceModelRewriteStatus{Conditions: pending("Accepted")}}
	return []client.Object{&objective, &rewrite,
		&llmd.OlderInferenceObjective{InferenceObjective: *objective.DeepCopy()}, &llmd.OlderInferenceModelRewrite{InferenceModelRewrite: *rewrite.DeepCopy()}}
}

func ruleStatuses(status metav1.ConditionStatus, generation int64) gatewayapi.Statuses {
	objective := &llmd.InferenceObjectiveStatus{Conditions: []metav1.Condition{condition("Accepted", status, generation), condition("Ready", status, generation)}}
	rewrite := &llmd.InferenceModelRewriteStatus{Conditions: []metav1.Condition{condition("Accepted", status, generation)}}
	if status == metav1.ConditionTrue {
		rewrite.Conditions = append(rewrite.Conditions, condition("Conflicted", metav1.ConditionFalse, generation))
	}
	return gatewayapi.Statuses{
		InferenceObjectives:         map[source.Key]*llmd.InferenceObjectiveStatus{key("o"): objective},
		OlderInferenceObjectives:    map[source.Key]*llmd.InferenceObjectiveStatus{key("o"): objective},
		InferenceModelRewrites:      map[source.Key]*llmd.InferenceModelRewriteStatus{key("r"): rewrite},
		OlderInferenceModelRewrites: map[source.Key]*llmd.InferenceModelRewriteStatus{key("r"): rewrite},
	}
}

var writesRules = []string{
	"patch status InferenceObjective o", "patch status InferenceModelRewrite r",
	"patch status older InferenceObjective o", "patch status older InferenceModelRewrite r",
}

func TestObjectivesAndRewritesOfBothGroupsAreWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, ruleObjects()...)
		b.run()
		pass(time.Second)
		b.writer.Want(b.see(), ruleStatuses(metav1.ConditionTrue, 1))
		pass(time.Second)
		b.expectSentInAnyOrder(writesRules...)
		for _, conditions := range [][]metav1.Condition{b.objective().Status.Conditions, b.olderObjective().Status.Conditions} {
			if len(conditions) != 2 || conditions[0].Type != "Ready" || conditions[1].Type != "Accepted" {
				t.Fatalf("the conditions are %+v", conditions)
			}
			for _, c := range conditions {
				if c.Status != metav1.ConditionTrue || c.ObservedGeneration != 1 || c.LastTransitionTime.Year() < 2000 {
					t.Errorf("the condition is %+v", c)
				}
			}
		}
		if o := b.objective(); o.Spec.Priority == nil || *o.Spec.Priority != 7 || o.Spec.PoolRef.Name != "p" {
			t.Errorf("the spec became %+v", o.Spec)
		}

		// Nothing has changed: nothing is written, now or later.
		b.writer.Want(b.see(), ruleStatuses(metav1.ConditionTrue, 1))
		pass(time.Hour)
		b.writer.Want(b.see(), ruleStatuses(metav1.ConditionTrue, 1))
		pass(time.Hour)
		b.expectSent()

		// One group's status is not the other's.
		one := ruleStatuses(metav1.ConditionTrue, 1)
		of := ruleStatuses(metav1.ConditionFalse, 1)
		one.OlderInferenceObjectives, one.OlderInferenceModelRewrites = of.OlderInferenceObjectives, of.OlderInferenceModelRewrites
		b.writer.Want(b.see(), one)
		pass(time.Minute)
		b.expectSentInAnyOrder(writesRules[2:]...)

		// The pool goes: a condition that is no longer wanted goes with it.
		b.writer.Want(b.see(), ruleStatuses(metav1.ConditionFalse, 1))
		pass(time.Minute)
		b.expectSentInAnyOrder(writesRules[:2]...)
		rewrite := b.see().InferenceModelRewrites
		for r := range rewrite.All() {
			if c := r.Status.Conditions; len(c) != 1 || c[0].Type != "Accepted" || c[0].Status != metav1.ConditionFalse {
				t.Errorf("the conditions of the rewrite are %+v", c)
			}
		}
	})
}

// An object about a pool with a picker of its own has no wanted status, and keeps the one that it has.
func TestWhatIsNothingToUsIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, ruleObjects()...)
		b.run()
		b.writer.Want(b.see(), gatewayapi.Statuses{})
		pass(time.Hour)
		b.expectSent()
		if c := b.objective().Status.Conditions; len(c) != 1 || c[0].Reason != "Pending" {
			t.Errorf("the conditions are %+v", c)
		}
	})
}

// A status made for an older spec is not written over a newer one.
func TestAnObjectiveThatMovedOnIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, ruleObjects()...)
		b.run()
		seen := *b.see()
		newer := b.objective()
		newer.Generation = 3
		seen.InferenceObjectives = seen.InferenceObjectives.With(newer)
		statuses := ruleStatuses(metav1.ConditionTrue, 4)
		statuses.OlderInferenceObjectives, statuses.InferenceModelRewrites, statuses.OlderInferenceModelRewrites = nil, nil, nil
		b.writer.Want(&seen, statuses)
		pass(time.Hour)
		b.expectSent()
	})
}

// expectSentInAnyOrder is expectSent for requests that are under way together.
func (b *bed) expectSentInAnyOrder(want ...string) {
	b.t.Helper()
	b.mu.Lock()
	slices.SortFunc(b.requests, func(x, y request) int { return cmp.Or(cmp.Compare(x.verb, y.verb), cmp.Compare(x.kind, y.kind)) })
	b.mu.Unlock()
	b.expectSent(slices.Sorted(slices.Values(want))...)
}

func (b *bed) objective() *llmd.InferenceObjective {
	b.t.Helper()
	var o llmd.InferenceObjective
	if err := b.server.Get(context.Background(), client.ObjectKey{Namespace: "ns", Name: "o"}, &o); err != nil {
		b.t.Fatal(err)
	}
	return &o
}

func (b *bed) olderObjective() *llmd.OlderInferenceObjective {
	b.t.Helper()
	var o llmd.OlderInferenceObjective
	if err := b.server.Get(context.Background(), client.ObjectKey{Namespace: "ns", Name: "o"}, &o); err != nil {
		b.t.Fatal(err)
	}
	return &o
}

package source

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/internal/source/llmd"
)

func objective(name string, priority int32) *llmd.InferenceObjective {
	return &llmd.InferenceObjective{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Spec: llmd.InferenceObjectiveSpec{Priority: &priority}}
}

func rewrite(name, target string) *llmd.InferenceModelRewrite {
	return &llmd.InferenceModelRewrite{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		Spec: llmd.InferenceModelRewriteSpec{Rules: []llmd.RewriteRule{{Targets: []llmd.RewriteTarget{{ModelRewrite: target}}}}}}
}

func bothGroups() *Objects {
	return &Objects{
		InferenceObjectives: NewSet(objective("both", 1), objective("new", 2)),
		OlderInferenceObjectives: NewSet(
			&llmd.OlderInferenceObjective{InferenceObjective: *objective("both", 10)},
			&llmd.OlderInferenceObjective{InferenceObjective: *objective("old", 20)}),
		InferenceModelRewrites: NewSet(rewrite("both", "a"), rewrite("new", "b")),
		OlderInferenceModelRewrites: NewSet(
			&llmd.OlderInferenceModelRewrite{InferenceModelRewrite: *rewrite("both", "c")},
			&llmd.OlderInferenceModelRewrite{InferenceModelRewrite: *rewrite("old", "d")}),
	}
}

func TestTheCurrentGroupHidesTheOlder(t *testing.T) {
	o := bothGroups()
	priorities := map[string]int32{}
	for objective := range o.Objectives() {
		if _, twice := priorities[objective.Name]; twice {
			t.Errorf("objective %s comes twice", objective.Name)
		}
		priorities[objective.Name] = *objective.Spec.Priority
	}
	if len(priorities) != 3 || priorities["both"] != 1 || priorities["new"] != 2 || priorities["old"] != 20 {
		t.Errorf("the objectives that count are %v", priorities)
	}
	targets := map[string]string{}
	for rewrite := range o.ModelRewrites() {
		if _, twice := targets[rewrite.Name]; twice {
			t.Errorf("rewrite %s comes twice", rewrite.Name)
		}
		targets[rewrite.Name] = rewrite.Spec.Rules[0].Targets[0].ModelRewrite
	}
	if len(targets) != 3 || targets["both"] != "a" || targets["new"] != "b" || targets["old"] != "d" {
		t.Errorf("the rewrites that count are %v", targets)
	}
	for range o.Objectives() {
		break // a walk may end early
	}
	for range o.ModelRewrites() {
		break
	}
}

func TestFindAndPutTellTheGroupsApart(t *testing.T) {
	o := bothGroups()
	for _, kind := range []string{llmd.ObjectiveKind, llmd.RewriteKind} {
		for group, names := range map[string][]string{"": {"both", "new"}, llmd.Group: {"both", "new"}, llmd.OlderGroup: {"both", "old"}} {
			for _, name := range []string{"both", "new", "old"} {
				found, ok := o.Find(Ref{Group: group, Kind: kind, Namespace: "ns", Name: name})
				if ok != slices.Contains(names, name) || ok && found.GetName() != name {
					t.Errorf("%s %s of group %q is found: %t", kind, name, group, ok)
				}
			}
		}
	}
	for _, group := range []string{llmd.Group, llmd.OlderGroup} {
		for _, kind := range []string{llmd.ObjectiveKind, llmd.RewriteKind} {
			changed, ref := *o, Ref{Group: group, Kind: kind, Namespace: "ns", Name: "both"}
			known, _ := o.Find(ref)
			changed.Put(ref, nil)
			if _, ok := changed.Find(ref); ok {
				t.Errorf("%s of %s is still there after it was removed", ref, group)
			}
			if changed.SameRules(o) {
				t.Errorf("the removal of %s of %s went unnoticed", ref, group)
			}
			changed.Put(ref, known)
			if again, ok := changed.Find(ref); !ok || again != known {
				t.Errorf("%s of %s is %v after it was put back", ref, group, again)
			}
		}
	}
}

func TestSameRulesLooksAtNothingElse(t *testing.T) {
	o := bothGroups()
	changed := *o
	changed.InferencePools = changed.InferencePools.Without(Key{})
	if !changed.SameRules(o) {
		t.Error("a change of pools counts as one of the rules")
	}
	if !(&Objects{}).SameRules(&Objects{}) {
		t.Error("two empty views differ")
	}
	changed.InferenceObjectives = changed.InferenceObjectives.With(objective("new", 3))
	if changed.SameRules(o) {
		t.Error("a changed objective went unnoticed")
	}
}

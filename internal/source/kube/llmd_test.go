package kube

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
)

func objectiveManifest(group, name string, priority int) map[string]any {
	return manifest(llmd.ObjectiveKind, "ns", name, map[string]any{
		"apiVersion": group + "/" + llmd.Version, "spec": map[string]any{"priority": priority, "poolRef": map[string]any{"name": "pool"}},
	})
}

// The same name in both groups is two objects, of which each goes its own way.
func TestBothGroupsOfAKindAreRead(t *testing.T) {
	server := newAPIServer(t)
	server.putAll(objectiveManifest(llmd.Group, "both", 7), objectiveManifest(llmd.OlderGroup, "both", 3), objectiveManifest(llmd.OlderGroup, "old", 5))
	server.put(manifest(llmd.RewriteKind, "ns", "rewrite", map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{"x": "y"}},
		"spec": map[string]any{"poolRef": map[string]any{"name": "pool"}, "rules": []any{map[string]any{
			"matches": []any{map[string]any{"model": map[string]any{"type": "Exact", "value": "m"}}},
			"targets": []any{map[string]any{"weight": 3, "modelRewrite": "t"}}}}}}))
	f := follow(t, server, Options{Kinds: []string{llmd.ObjectiveKind, llmd.RewriteKind}})
	u := f.store.Latest()
	priorities := func(u source.Update) map[string]int32 {
		out := map[string]int32{}
		for o := range u.Objects.Objectives() {
			out[o.Name] = *o.Spec.Priority
		}
		return out
	}
	if got := priorities(u); len(got) != 2 || got["both"] != 7 || got["old"] != 5 {
		t.Errorf("the priorities are %v", got)
	}
	rewrite, ok := u.Objects.InferenceModelRewrites.Get("ns", "rewrite")
	if !ok || rewrite.Annotations != nil || rewrite.Spec.Rules[0].Matches[0].Model.Value != "m" ||
		rewrite.Spec.Rules[0].Targets[0] != (llmd.RewriteTarget{Weight: 3, ModelRewrite: "t"}) {
		t.Errorf("the rewrite was read as %+v", rewrite)
	}

	server.remove(objectiveManifest(llmd.Group, "both", 7))
	u = f.has(llmd.ObjectiveKind, "ns", "both", false)
	if got := priorities(u); got["both"] != 3 {
		t.Errorf("the priorities are %v without the object of the current group", got)
	}
	server.put(objectiveManifest(llmd.OlderGroup, "both", 4))
	f.until("the change of the older object", func(u source.Update) bool { return priorities(u)["both"] == 4 })
}

// Most clusters lack these kinds: a picker that asks for them by name says nothing of it, and finds them when they come.
func TestKindsOfTheRouterMayBeAbsent(t *testing.T) {
	server := newAPIServer(t)
	absent := []string{llmd.Group, llmd.OlderGroup}
	plurals := map[string]string{"inferenceobjectives": llmd.ObjectiveKind, "inferencemodelrewrites": llmd.RewriteKind}
	for _, group := range absent {
		for plural := range plurals {
			server.unserve(group, llmd.Version, plural)
		}
	}
	server.put(manifest("InferencePool", "ns", "pool", nil))
	f := follow(t, server, Options{Kinds: []string{"InferencePool", llmd.ObjectiveKind, llmd.RewriteKind}})
	if u := f.has("InferencePool", "ns", "pool", true); len(u.Warnings) != 0 {
		t.Errorf("warnings are %v", u.Warnings)
	}
	if log := f.log.String(); strings.Contains(log, llmd.OlderGroup) {
		t.Errorf("the log speaks of a group that is hardly anywhere: %s", log)
	}
	for _, group := range absent {
		for plural, kind := range plurals {
			server.serve(group, llmd.Version, plural, kind)
		}
	}
	server.putAll(objectiveManifest(llmd.Group, "new", 1), objectiveManifest(llmd.OlderGroup, "old", 1))
	f.has(llmd.ObjectiveKind, "ns", "new", true)
	f.has(llmd.ObjectiveKind+"."+llmd.OlderGroup, "ns", "old", true)
}

// A status that somebody writes is no reason to translate again at once.
func TestAStatusOfAnObjectiveWakesNobodyAtOnce(t *testing.T) {
	before := &llmd.OlderInferenceObjective{InferenceObjective: llmd.InferenceObjective{ObjectMeta: metav1.ObjectMeta{Name: "o", ResourceVersion: "1"}}}
	status, spec := before.DeepCopy(), before.DeepCopy()
	status.ResourceVersion, spec.ResourceVersion = "2", "2"
	status.Status.Conditions = []metav1.Condition{{Type: "Ready"}}
	spec.Spec.PoolRef.Name = "other"
	for name, c := range map[string]struct {
		next *llmd.OlderInferenceObjective
		want change
	}{"status": {status, statusOnly}, "spec": {spec, content}} {
		set := source.NewSet(before)
		objects := source.Objects{OlderInferenceObjectives: set}
		for _, k := range kinds {
			if k.id() == llmd.ObjectiveKind+"."+llmd.OlderGroup {
				if got := k.merge(&objects, changes{{Name: "o"}: c.next}); got != c.want {
					t.Errorf("a change of the %s counts as %v, want %v", name, got, c.want)
				}
			}
		}
		if now, _ := objects.OlderInferenceObjectives.Get("", "o"); now != c.next {
			t.Errorf("after a change of the %s the view has %v", name, now)
		}
	}
}

package gatewayapi

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
)

// contest is a model of a pool that rules want to have the say about; the empty model stands for all that no rule names.
type contest struct {
	pool  source.Key
	model string
}

// holder is who has the say.
type holder struct {
	rewrite source.Key
	rule    int
}

// rewrites reports on the InferenceModelRewrites of both groups.
func (r *ruleReport) rewrites(s *Statuses) {
	s.InferenceModelRewrites = make(map[source.Key]*llmd.InferenceModelRewriteStatus, r.objects.InferenceModelRewrites.Len())
	s.OlderInferenceModelRewrites = make(map[source.Key]*llmd.InferenceModelRewriteStatus, r.objects.OlderInferenceModelRewrites.Len())
	taken := map[contest]holder{}
	for _, object := range slices.SortedFunc(r.objects.ModelRewrites(), compareRewrites) {
		status := r.rewrite(object, taken)
		if status == nil {
			continue
		}
		key := source.KeyOf(object)
		if current, ok := r.objects.InferenceModelRewrites.Get(key.Namespace, key.Name); ok && current == object {
			s.InferenceModelRewrites[key] = status
		} else {
			s.OlderInferenceModelRewrites[key] = status
		}
	}
	for older := range r.objects.OlderInferenceModelRewrites.All() {
		if _, hidden := r.objects.InferenceModelRewrites.Get(older.Namespace, older.Name); hidden && r.concerns(older.Namespace, older.Spec.PoolRef) {
			c := conditions{generation: older.Generation}
			c.addUnless(superseded(true, llmd.RewriteKind), ruleAccepted, "", "")
			s.OlderInferenceModelRewrites[source.KeyOf(older)] = &llmd.InferenceModelRewriteStatus{Conditions: c.list}
		}
	}
}

// compareRewrites puts the one first that has the say, as the picker has it.
func compareRewrites(a, b *llmd.InferenceModelRewrite) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), source.KeyOf(a).Compare(source.KeyOf(b)))
}

// rewrite reports on one object, nil when it is nothing to us. Those that come before it have said what they take.
func (r *ruleReport) rewrite(object *llmd.InferenceModelRewrite, taken map[contest]holder) *llmd.InferenceModelRewriteStatus {
	here, wrong := r.pool(object.Namespace, object.Spec.PoolRef)
	if !here {
		return nil
	}
	pool := source.Key{Namespace: object.Namespace, Name: object.Spec.PoolRef.Name}
	message := fmt.Sprintf("models that requests of InferencePool %s ask for are rewritten", pool)
	if idle := idleTargets(object); len(idle) > 0 {
		message += "; without a weight beside targets that have one, these get no requests: " + strings.Join(idle, ", ")
	}
	c := conditions{generation: object.Generation}
	c.addUnless(wrong, ruleAccepted, reasonRuleAccepted, message)
	if wrong.found() {
		return &llmd.InferenceModelRewriteStatus{Conditions: c.list}
	}
	if lost := merge(lostContests(object, pool, taken)); lost.found() {
		c.add(ruleConflicted, metav1.ConditionTrue, lost.reason, lost.text())
	} else {
		c.add(ruleConflicted, metav1.ConditionFalse, reasonNoConflicts, "no other rule has the say about a model of this one")
	}
	return &llmd.InferenceModelRewriteStatus{Conditions: c.list}
}

// lostContests takes for an object the models that are free and lists those that are not.
func lostContests(object *llmd.InferenceModelRewrite, pool source.Key, taken map[contest]holder) []finding {
	var out []finding
	self := source.KeyOf(object)
	claim := func(field, model string, rule int) {
		at := contest{pool, model}
		first, lost := taken[at]
		switch {
		case !lost:
			taken[at] = holder{self, rule}
		case first != holder{self, rule}:
			out = append(out, first.beats(self, model).in(field))
		}
	}
	for i, rule := range object.Spec.Rules {
		field := at("spec.rules", i)
		if len(rule.Matches) == 0 {
			claim(field, "", i)
		}
		for j, match := range rule.Matches {
			claim(field+"."+at("matches", j), match.Model.Value, i)
		}
	}
	return out
}

// beats says who has the say about a model instead of an object.
func (h holder) beats(self source.Key, model string) finding {
	what := "model " + strconv.Quote(model)
	if model == "" {
		what = "every model without a rule of its own"
	}
	if h.rewrite == self {
		return find(reasonModelTaken, "%s is rewritten by spec.rules[%d] already; remove one of the two", what, h.rule)
	}
	return find(reasonModelTaken, "%s is rewritten by %s %s, which comes before this one (the older does, then the first by name); remove it here or there",
		what, llmd.RewriteKind, h.rewrite)
}

// idleTargets lists the targets that can never be drawn.
func idleTargets(object *llmd.InferenceModelRewrite) []string {
	var out []string
	for i, rule := range object.Spec.Rules {
		if !slices.ContainsFunc(rule.Targets, func(t llmd.RewriteTarget) bool { return t.Weight > 0 }) {
			continue
		}
		for j, target := range rule.Targets {
			if target.Weight <= 0 && len(out) < findingsShown {
				out = append(out, at("spec.rules", i)+"."+at("targets", j))
			}
		}
	}
	return out
}

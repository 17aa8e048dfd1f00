package gatewayapi

import (
	"cmp"
	"fmt"

	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
)

// Types and reasons of the conditions of InferenceObjectives and InferenceModelRewrites. The CRDs bring Ready and Accepted
// along, as Unknown; nobody has defined reasons for them.
const (
	ruleAccepted   = "Accepted"
	ruleReady      = "Ready"
	ruleConflicted = "Conflicted"

	reasonRuleAccepted = "Accepted"
	reasonRuleReady    = "Ready"
	reasonNoConflicts  = "NoConflicts"
	reasonPoolNotFound = "PoolNotFound"
	reasonSuperseded   = "Superseded"
	reasonModelTaken   = "ModelTaken"
)

// ruleReport makes the statuses of objectives and model rewrites. It does not make what the picker goes by, but says the same
// about it.
type ruleReport struct {
	*index
	only  *source.Key         // the only pool that is reported about, by a picker of its own; nil: those of the embedded picker
	pools map[source.Key]bool // tells of a pool that there is whether it is reported about
}

// RuleStatuses are the wanted statuses of the objectives and model rewrites that name one pool, for a picker that picks for that
// pool alone: word for word what Build wants where the embedded picker does. Of a pool that leaves picking to the embedded picker
// by name it says nothing.
func RuleStatuses(in *source.Objects, pool source.Key) Statuses {
	var s Statuses
	r := &ruleReport{index: &index{objects: in}, only: &pool, pools: map[source.Key]bool{}}
	r.report(&s)
	return s
}

func reportRules(x *index, s *Statuses) {
	r := &ruleReport{index: x, pools: map[source.Key]bool{}}
	r.report(s)
}

func (r *ruleReport) report(s *Statuses) {
	s.InferenceObjectives = make(map[source.Key]*llmd.InferenceObjectiveStatus, r.objects.InferenceObjectives.Len())
	s.OlderInferenceObjectives = make(map[source.Key]*llmd.InferenceObjectiveStatus, r.objects.OlderInferenceObjectives.Len())
	for o := range r.objects.InferenceObjectives.All() {
		if status := r.objective(o, finding{}); status != nil {
			s.InferenceObjectives[source.KeyOf(o)] = status
		}
	}
	for older := range r.objects.OlderInferenceObjectives.All() {
		_, hidden := r.objects.InferenceObjectives.Get(older.Namespace, older.Name)
		if status := r.objective(&older.InferenceObjective, superseded(hidden, llmd.ObjectiveKind)); status != nil {
			s.OlderInferenceObjectives[source.KeyOf(older)] = status
		}
	}
	r.rewrites(s)
}

// concerns tells whether objects that name this pool may be reported on at all.
func (r *ruleReport) concerns(namespace string, ref llmd.PoolRef) bool {
	return r.only == nil || source.Key{Namespace: namespace, Name: ref.Name} == *r.only
}

// superseded is what is wrong with an object of the older group that one of the current group hides.
func superseded(hidden bool, kind string) finding {
	if !hidden {
		return finding{}
	}
	return find(reasonSuperseded, "%s.%s of the same name is there, and is the one that counts; delete this one of the older group", kind, llmd.Group)
}

// pool tells whether the picker that is reported for picks for the pool that a reference names, or why there is none. Objects about
// a pool with another picker are that picker's business: nothing is said about them.
func (r *ruleReport) pool(namespace string, ref llmd.PoolRef) (here bool, wrong finding) {
	if !r.concerns(namespace, ref) {
		return false, finding{}
	}
	if !ref.IsPool() {
		wrong := find(reasonPoolNotFound, "kind %s of group %q is no pool; refer to an InferencePool of group %s",
			cmp.Or(ref.Kind, llmd.PoolKind), cmp.Or(ref.Group, llmd.PoolGroup), llmd.PoolGroup)
		return true, wrong.in("spec.poolRef")
	}
	key := source.Key{Namespace: namespace, Name: ref.Name}
	if here, known := r.pools[key]; known {
		return here, finding{}
	}
	object, exists := r.objects.InferencePools.Get(key.Namespace, key.Name)
	if !exists {
		wrong := find(reasonPoolNotFound, "InferencePool %s does not exist; create it, or name one of this namespace", key)
		return true, wrong.in("spec.poolRef.name")
	}
	r.pools[key] = r.picked(object)
	return r.pools[key], finding{}
}

// picked tells whether the picker that is reported for picks for a pool: the embedded one for those that leave it to it, a picker
// of a pool's own for that one.
func (r *ruleReport) picked(object *infv1.InferencePool) bool {
	if r.only != nil {
		ref := object.Spec.EndpointPickerRef
		return ref == nil || ref.Kind != embeddedKind || valueOr(ref.Group, coreGroup) != embeddedGroup
	}
	picker, broken := r.resolvePicker(object)
	return picker == nil && !broken.found()
}

// objective reports on an InferenceObjective, nil when it is nothing to us.
func (r *ruleReport) objective(o *llmd.InferenceObjective, wrong finding) *llmd.InferenceObjectiveStatus {
	if !r.concerns(o.Namespace, o.Spec.PoolRef) {
		return nil
	}
	if !wrong.found() {
		var here bool
		if here, wrong = r.pool(o.Namespace, o.Spec.PoolRef); !here {
			return nil
		}
	}
	requests := fmt.Sprintf("requests of InferencePool %s/%s", o.Namespace, o.Spec.PoolRef.Name)
	c := conditions{generation: o.Generation}
	c.addUnless(wrong, ruleAccepted, reasonRuleAccepted, requests+" may name it")
	c.addUnless(wrong, ruleReady, reasonRuleReady, fmt.Sprintf("%s that name it have priority %d", requests, valueOr(o.Spec.Priority, 0)))
	return &llmd.InferenceObjectiveStatus{Conditions: c.list}
}

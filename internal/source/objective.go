package source

import (
	"iter"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/internal/source/llmd"
)

// Objectives walks the InferenceObjectives that count, in no order that matters: one of the current group hides the one of
// the older group with its namespace and name, so that objects can be moved over one by one.
func (o *Objects) Objectives() iter.Seq[*llmd.InferenceObjective] {
	return counting(o.InferenceObjectives, o.OlderInferenceObjectives,
		func(older *llmd.OlderInferenceObjective) *llmd.InferenceObjective { return &older.InferenceObjective })
}

// ModelRewrites walks the InferenceModelRewrites that count, as Objectives does.
func (o *Objects) ModelRewrites() iter.Seq[*llmd.InferenceModelRewrite] {
	return counting(o.InferenceModelRewrites, o.OlderInferenceModelRewrites,
		func(older *llmd.OlderInferenceModelRewrite) *llmd.InferenceModelRewrite {
			return &older.InferenceModelRewrite
		})
}

// counting walks the objects of the current group, and those of the older one that none of them hides.
func counting[C, O metav1.Object](current Set[C], older Set[O], of func(O) C) iter.Seq[C] {
	return func(yield func(C) bool) {
		for object := range current.All() {
			if !yield(object) {
				return
			}
		}
		for object := range older.All() {
			if _, hidden := current.Get(object.GetNamespace(), object.GetName()); !hidden && !yield(of(object)) {
				return
			}
		}
	}
}

// SameRules tells, without a look at the objects, whether nothing moved in what objectives and rewrites are made from.
func (o *Objects) SameRules(other *Objects) bool {
	return o.InferenceObjectives.Same(other.InferenceObjectives) && o.OlderInferenceObjectives.Same(other.OlderInferenceObjectives) &&
		o.InferenceModelRewrites.Same(other.InferenceModelRewrites) && o.OlderInferenceModelRewrites.Same(other.OlderInferenceModelRewrites)
}

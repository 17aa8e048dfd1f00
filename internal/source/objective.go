package source

import (
	"iter"

	"github.com/switchyard/switchyard/internal/source/llmd"
)

// Objectives walks the InferenceObjectives that count, in no order that matters: one of the current group hides the one of
// the older group with its namespace and name, so that objects can be moved over one by one.
func (o *Objects) Objectives() iter.Seq[*llmd.InferenceObjective] {
	return func(yield func(*llmd.InferenceObjective) bool) {
		for objective := range o.InferenceObjectives.All() {
			if !yield(objective) {
				return
			}
		}
		for older := range o.OlderInferenceObjectives.All() {
			if _, hidden := o.InferenceObjectives.Get(older.Namespace, older.Name); !hidden && !yield(&older.InferenceObjective) {
				return
			}
		}
	}
}

// ModelRewrites walks the InferenceModelRewrites that count, as Objectives does.
func (o *Objects) ModelRewrites() iter.Seq[*llmd.InferenceModelRewrite] {
	return func(yield func(*llmd.InferenceModelRewrite) bool) {
		for rewrite := range o.InferenceModelRewrites.All() {
			if !yield(rewrite) {
				return
			}
		}
		for older := range o.OlderInferenceModelRewrites.All() {
			if _, hidden := o.InferenceModelRewrites.Get(older.Namespace, older.Name); !hidden && !yield(&older.InferenceModelRewrite) {
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

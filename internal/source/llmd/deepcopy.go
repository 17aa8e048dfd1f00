package llmd

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// DeepCopy gives an object that shares no memory with this one.
func (o *InferenceObjective) DeepCopy() *InferenceObjective {
	out := *o
	o.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	if o.Spec.Priority != nil {
		out.Spec.Priority = new(*o.Spec.Priority)
	}
	out.Status.Conditions = copyConditions(o.Status.Conditions)
	return &out
}

// DeepCopy gives an object that shares no memory with this one.
func (o *InferenceModelRewrite) DeepCopy() *InferenceModelRewrite {
	out := *o
	o.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	out.Spec.Rules = copyEach(o.Spec.Rules, func(r *RewriteRule) RewriteRule {
		return RewriteRule{Matches: slices.Clone(r.Matches), Targets: slices.Clone(r.Targets)}
	})
	out.Status.Conditions = copyConditions(o.Status.Conditions)
	return &out
}

// DeepCopy gives an object that shares no memory with this one.
func (o *OlderInferenceObjective) DeepCopy() *OlderInferenceObjective {
	return &OlderInferenceObjective{*o.InferenceObjective.DeepCopy()}
}

// DeepCopy gives an object that shares no memory with this one.
func (o *OlderInferenceModelRewrite) DeepCopy() *OlderInferenceModelRewrite {
	return &OlderInferenceModelRewrite{*o.InferenceModelRewrite.DeepCopy()}
}

// DeepCopyObject implements runtime.Object.
func (o *InferenceObjective) DeepCopyObject() runtime.Object { return o.DeepCopy() }

// DeepCopyObject implements runtime.Object.
func (o *InferenceModelRewrite) DeepCopyObject() runtime.Object { return o.DeepCopy() }

// DeepCopyObject implements runtime.Object.
func (o *OlderInferenceObjective) DeepCopyObject() runtime.Object { return o.DeepCopy() }

// DeepCopyObject implements runtime.Object.
func (o *OlderInferenceModelRewrite) DeepCopyObject() runtime.Object { return o.DeepCopy() }

// DeepCopyObject implements runtime.Object.
func (l *InferenceObjectiveList) DeepCopyObject() runtime.Object {
	out := *l
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	out.Items = copyEach(l.Items, func(o *InferenceObjective) InferenceObjective { return *o.DeepCopy() })
	return &out
}

// DeepCopyObject implements runtime.Object.
func (l *InferenceModelRewriteList) DeepCopyObject() runtime.Object {
	out := *l
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	out.Items = copyEach(l.Items, func(o *InferenceModelRewrite) InferenceModelRewrite { return *o.DeepCopy() })
	return &out
}

// DeepCopyObject implements runtime.Object.
func (l *OlderInferenceObjectiveList) DeepCopyObject() runtime.Object {
	out := *l
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	out.Items = copyEach(l.Items, func(o *OlderInferenceObjective) OlderInferenceObjective { return *o.DeepCopy() })
	return &out
}

// DeepCopyObject implements runtime.Object.
func (l *OlderInferenceModelRewriteList) DeepCopyObject() runtime.Object {
	out := *l
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	out.Items = copyEach(l.Items, func(o *OlderInferenceModelRewrite) OlderInferenceModelRewrite { return *o.DeepCopy() })
	return &out
}

func copyConditions(in []metav1.Condition) []metav1.Condition {
	return copyEach(in, func(c *metav1.Condition) metav1.Condition { return *c.DeepCopy() })
}

// copyEach copies a list; nil stays nil.
func copyEach[T any](in []T, copied func(*T) T) []T {
	if in == nil {
		return nil
	}
	out := make([]T, len(in))
	for i := range in {
		out[i] = copied(&in[i])
	}
	return out
}

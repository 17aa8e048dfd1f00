package report

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
)

// rules lists objectives and model rewrites of both groups. They stand by themselves: a pool may be there several times in the
// tree, or not at all.
func (b *treeBuilder) rules() []*node {
	var out []*node
	for o := range b.objects.InferenceObjectives.All() {
		out = append(out, objectiveNode(o, "", b.statuses.InferenceObjectives[source.KeyOf(o)]))
	}
	for o := range b.objects.OlderInferenceObjectives.All() {
		out = append(out, objectiveNode(&o.InferenceObjective, "."+llmd.OlderGroup, b.statuses.OlderInferenceObjectives[source.KeyOf(o)]))
	}
	for o := range b.objects.InferenceModelRewrites.All() {
		out = append(out, rewriteNode(o, "", b.statuses.InferenceModelRewrites[source.KeyOf(o)]))
	}
	for o := range b.objects.OlderInferenceModelRewrites.All() {
		out = append(out, rewriteNode(&o.InferenceModelRewrite, "."+llmd.OlderGroup, b.statuses.OlderInferenceModelRewrites[source.KeyOf(o)]))
	}
	return out
}

func objectiveNode(o *llmd.InferenceObjective, group string, status *llmd.InferenceObjectiveStatus) *node {
	priority := int32(0)
	if o.Spec.Priority != nil {
		priority = *o.Spec.Priority
	}
	n := &node{title: fmt.Sprintf("%s%s %s, pool %s, priority %d", llmd.ObjectiveKind, group, source.KeyOf(o), o.Spec.PoolRef.Name, priority)}
	if status == nil {
		n.title += elsewhere
		return n
	}
	return n.with(status.Conditions)
}

func rewriteNode(o *llmd.InferenceModelRewrite, group string, status *llmd.InferenceModelRewriteStatus) *node {
	n := &node{title: fmt.Sprintf("%s%s %s, pool %s, %d rules", llmd.RewriteKind, group, source.KeyOf(o), o.Spec.PoolRef.Name, len(o.Spec.Rules))}
	if status == nil {
		n.title += elsewhere
		return n
	}
	return n.with(status.Conditions)
}

// elsewhere is said of an object that is nothing to the embedded picker.
const elsewhere = ", for the pool's own picker to tell"

func (n *node) with(conditions []metav1.Condition) *node {
	n.conditions = conditions
	return n
}

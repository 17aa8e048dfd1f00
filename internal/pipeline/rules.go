package pipeline

import (
	"github.com/switchyard/switchyard/epp/objective"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
)

// setRules hands the picker its rules anew when an objective or a rewrite has changed, which pods that come and go do not.
func (p *Pipeline) setRules(objects *source.Objects) {
	if p.opts.Rules == nil || p.ruled != nil && p.ruled.SameRules(objects) {
		return
	}
	p.ruled = objects
	p.opts.Rules.Store(Rules(objects))
}

// Rules are the objectives and the model rewrites that count, as a picker knows them. That of a pool which is not there is
// known too: nobody asks for it.
func Rules(objects *source.Objects) *objective.Rules {
	var objectives []objective.Objective
	for o := range objects.Objectives() {
		if o.Spec.PoolRef.IsPool() {
			objectives = append(objectives, objective.Objective{Pool: poolOf(o.Namespace, o.Spec.PoolRef), Name: o.Name, Priority: priorityOf(o)})
		}
	}
	var rewrites []objective.Rewrite
	for o := range objects.ModelRewrites() {
		if o.Spec.PoolRef.IsPool() {
			rewrites = append(rewrites, objective.Rewrite{
				Pool: poolOf(o.Namespace, o.Spec.PoolRef), Name: o.Name, Created: o.CreationTimestamp.Time, Rules: rewriteRules(o.Spec.Rules),
			})
		}
	}
	return objective.New(objectives, rewrites)
}

func poolOf(namespace string, ref llmd.PoolRef) string {
	return source.Key{Namespace: namespace, Name: ref.Name}.String()
}

func priorityOf(o *llmd.InferenceObjective) int {
	if o.Spec.Priority == nil {
		return 0
	}
	return int(*o.Spec.Priority)
}

func rewriteRules(in []llmd.RewriteRule) []objective.Rule {
	out := make([]objective.Rule, len(in))
	for i, rule := range in {
		for _, match := range rule.Matches {
			out[i].Models = append(out[i].Models, match.Model.Value)
		}
		for _, target := range rule.Targets {
			// A CRD refuses weights below 1; one that gets here all the same counts as none.
			out[i].Targets = append(out[i].Targets, objective.Target{Model: target.ModelRewrite, Weight: uint32(max(target.Weight, 0))})
		}
	}
	return out
}

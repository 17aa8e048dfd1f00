// Package llmd holds the API types of the llm-d Router that are read here: InferenceObjective and InferenceModelRewrite,
// of the group llm-d.ai and of the group in which they were before. The fields follow the CRDs; the package does not
// interpret them.
//
//	manifests, API server -> these types -> source.Objects
package llmd

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The groups and the version of both kinds.
const (
	Group      = "llm-d.ai"
	OlderGroup = "inference.networking.x-k8s.io"
	Version    = "v1alpha2"

	ObjectiveKind = "InferenceObjective"
	RewriteKind   = "InferenceModelRewrite"
)

// PoolGroup and PoolKind are what a PoolRef means that does not say.
const (
	PoolGroup = "inference.networking.k8s.io"
	PoolKind  = "InferencePool"
)

// PoolRef names a pool in the namespace of the object that it stands in.
type PoolRef struct {
	Group string `json:"group,omitempty"`
	Kind  string `json:"kind,omitempty"`
	Name  string `json:"name"`
}

// IsPool tells whether the reference is one to an InferencePool that can be read.
func (r PoolRef) IsPool() bool {
	return (r.Group == "" || r.Group == PoolGroup) && (r.Kind == "" || r.Kind == PoolKind)
}

// InferenceObjective says how important the requests of a pool are that name it.
type InferenceObjective struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   InferenceObjectiveSpec   `json:"spec,omitempty"`
	Status InferenceObjectiveStatus `json:"status,omitempty"`
}

// InferenceObjectiveSpec is what the user wants.
type InferenceObjectiveSpec struct {
	// Priority is higher for more important requests; below 0: they may be shed. nil: 0.
	Priority *int32  `json:"priority,omitempty"`
	PoolRef  PoolRef `json:"poolRef"`
}

// InferenceObjectiveStatus is what became of it.
type InferenceObjectiveStatus struct {
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// InferenceModelRewrite replaces the model that requests of a pool ask for.
type InferenceModelRewrite struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   InferenceModelRewriteSpec   `json:"spec,omitempty"`
	Status InferenceModelRewriteStatus `json:"status,omitempty"`
}

// InferenceModelRewriteSpec is what the user wants.
type InferenceModelRewriteSpec struct {
	PoolRef PoolRef       `json:"poolRef"`
	Rules   []RewriteRule `json:"rules"`
}

// RewriteRule replaces the models that one of its matches names, any model when it has none.
type RewriteRule struct {
	Matches []RewriteMatch  `json:"matches,omitempty"`
	Targets []RewriteTarget `json:"targets,omitempty"`
}

// RewriteMatch is a condition on a request.
type RewriteMatch struct {
	Model ModelMatch `json:"model"`
}

// ModelMatch compares the model that a request asks for. The only Type there is is Exact.
type ModelMatch struct {
	Type  string `json:"type,omitempty"`
	Value string `json:"value"`
}

// RewriteTarget is a model that is asked for instead, with its share of the requests. A Weight of 0 is one that was not
// given.
type RewriteTarget struct {
	Weight       int32  `json:"weight,omitempty"`
	ModelRewrite string `json:"modelRewrite"`
}

// InferenceModelRewriteStatus is what became of it.
type InferenceModelRewriteStatus struct {
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// OlderInferenceObjective is an InferenceObjective of OlderGroup. It is a type of its own because a client finds the group
// of an object by its Go type.
type OlderInferenceObjective struct {
	InferenceObjective `json:",inline"`
}

// OlderInferenceModelRewrite is an InferenceModelRewrite of OlderGroup.
type OlderInferenceModelRewrite struct {
	InferenceModelRewrite `json:",inline"`
}

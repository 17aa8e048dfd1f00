package llmd

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// InferenceObjectiveList is what an API server answers to a list.
type InferenceObjectiveList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []InferenceObjective `json:"items"`
}

// InferenceModelRewriteList is what an API server answers to a list.
type InferenceModelRewriteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []InferenceModelRewrite `json:"items"`
}

// OlderInferenceObjectiveList is the same of OlderGroup.
type OlderInferenceObjectiveList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []OlderInferenceObjective `json:"items"`
}

// OlderInferenceModelRewriteList is the same of OlderGroup.
type OlderInferenceModelRewriteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []OlderInferenceModelRewrite `json:"items"`
}

// Install teaches a scheme the kinds of both groups. The error is always nil: it has the shape of its neighbours.
func Install(scheme *runtime.Scheme) error {
	current, older := schema.GroupVersion{Group: Group, Version: Version}, schema.GroupVersion{Group: OlderGroup, Version: Version}
	scheme.AddKnownTypes(current, &InferenceObjective{}, &InferenceObjectiveList{}, &InferenceModelRewrite{}, &InferenceModelRewriteList{})
	for kind, object := range map[string]runtime.Object{
		ObjectiveKind: &OlderInferenceObjective{}, ObjectiveKind + "List": &OlderInferenceObjectiveList{},
		RewriteKind: &OlderInferenceModelRewrite{}, RewriteKind + "List": &OlderInferenceModelRewriteList{},
	} {
		scheme.AddKnownTypeWithName(older.WithKind(kind), object)
	}
	metav1.AddToGroupVersion(scheme, current)
	metav1.AddToGroupVersion(scheme, older)
	return nil
}

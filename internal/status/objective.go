package status

import "github.com/switchyard/switchyard/internal/source/llmd"

// Condition types of the kinds of the llm-d Router that are ours. Nobody else is known to write any.
var (
	objectiveTypes    = []string{"Accepted", "Ready"}
	modelRewriteTypes = []string{"Accepted", "Conflicted"}
)

func mergeObjective(m *merger, have, want *llmd.InferenceObjectiveStatus) llmd.InferenceObjectiveStatus {
	return llmd.InferenceObjectiveStatus{Conditions: m.conditions(have.Conditions, want.Conditions, objectiveTypes)}
}

func mergeModelRewrite(m *merger, have, want *llmd.InferenceModelRewriteStatus) llmd.InferenceModelRewriteStatus {
	return llmd.InferenceModelRewriteStatus{Conditions: m.conditions(have.Conditions, want.Conditions, modelRewriteTypes)}
}

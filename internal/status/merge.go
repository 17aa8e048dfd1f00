package status

import (
	"slices"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/internal/source"
)

// maxMessage is the length in characters that the API takes for the message of a condition.
const maxMessage = 32768

// merger merges one wanted status into one object's, then another's after start. Neither is changed, and
// what comes out may share memory with both.
type merger struct {
	controller    string
	now           metav1.Time
	gatewayIsOurs func(source.Key) bool // tells whether a Gateway is of our classes
	generation    int64                 // of the object that is merged into

	changed bool // the result differs from what the object has
	// untimely is true when the object and the wanted status do not belong together: one of the two was made
	// from a newer generation than the other knows.
	untimely bool
	leftOut  int // wanted entries for which a list of limited length had no room
}

// start makes the merger ready for an object of a generation.
func (m *merger) start(generation int64) {
	m.generation, m.changed, m.untimely, m.leftOut = generation, false, false, 0
}

// conditions merges a list of conditions. Types in ours that are not wanted are removed; the order of what
// is there stays.
func (m *merger) conditions(have, want []metav1.Condition, ours []string) []metav1.Condition {
	m.checkGenerations(have, want)
	if sameConditions(have, want, ours) {
		return have
	}
	m.changed = true
	out := make([]metav1.Condition, 0, len(have)+len(want))
	for i := range have {
		if w := findCondition(want, have[i].Type); w != nil {
			out = append(out, m.condition(&have[i], w))
		} else if !slices.Contains(ours, have[i].Type) {
			out = append(out, have[i])
		}
	}
	for i := range want {
		if findCondition(have, want[i].Type) == nil {
			out = append(out, m.condition(nil, &want[i]))
		}
	}
	return out
}

// condition gives a wanted condition its time: when its status last changed.
func (m *merger) condition(have, want *metav1.Condition) metav1.Condition {
	out := *want
	out.Message = clip(want.Message)
	out.LastTransitionTime = m.now
	if have != nil && have.Status == want.Status && !have.LastTransitionTime.IsZero() {
		out.LastTransitionTime = have.LastTransitionTime
	}
	return out
}

// checkGenerations finds conditions that tell of a newer object than the other side knows. A generation on
// the object that the object itself has not reached is nobody's, and does not count.
func (m *merger) checkGenerations(have, want []metav1.Condition) {
	for i := range want {
		w := &want[i]
		if w.ObservedGeneration > m.generation {
			m.untimely = true
		}
		h := findCondition(have, w.Type)
		if h != nil && h.ObservedGeneration > w.ObservedGeneration && h.ObservedGeneration <= m.generation {
			m.untimely = true
		}
	}
}

func sameConditions(have, want []metav1.Condition, ours []string) bool {
	met := 0
	for i := range have {
		h := &have[i]
		w := findCondition(want, h.Type)
		if w == nil {
			if slices.Contains(ours, h.Type) {
				return false
			}
			continue
		}
		met++
		if h.Status != w.Status || h.Reason != w.Reason || h.ObservedGeneration != w.ObservedGeneration ||
			h.Message != clip(w.Message) {
			return false
		}
	}
	return met == len(want)
}

func findCondition(list []metav1.Condition, kind string) *metav1.Condition {
	for i := range list {
		if list[i].Type == kind {
			return &list[i]
		}
	}
	return nil
}

// clip cuts a message to the length that the API takes.
func clip(message string) string {
	if len(message) <= maxMessage || utf8.RuneCountInString(message) <= maxMessage {
		return message
	}
	return string([]rune(message)[:maxMessage-1]) + "…"
}

// replace takes a list that is ours alone as it is wanted.
func replace[E any](m *merger, have, want []E, same func(a, b E) bool) []E {
	if slices.EqualFunc(have, want, same) {
		return have
	}
	m.changed = true
	return want
}

// valueOr reads an optional field that the API server fills in when it is left out.
func valueOr[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

package gatewayapi

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// finding is one thing that is wrong: the reason of a condition, the field, and a sentence that says how to
// mend it. The zero finding means that nothing is.
type finding struct {
	reason  string
	field   string // path of the field, empty when the sentence is about the whole object
	message string
}

func (f finding) found() bool { return f.reason != "" }

// in puts an outer field before the finding's own.
func (f finding) in(field string) finding {
	if f.field != "" {
		field += "." + f.field
	}
	f.field = field
	return f
}

// about makes the finding one about an object that is not the one it will be reported on.
func (f finding) about(object string) finding {
	return finding{reason: f.reason, message: object + ": " + f.text()}
}

// text is the finding as it stands in a condition.
func (f finding) text() string {
	if f.field == "" {
		return f.message
	}
	return f.field + ": " + f.message
}

// at is the field path of an element of a list.
func at(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

func find(reason, format string, args ...any) finding {
	return finding{reason: reason, message: fmt.Sprintf(format, args...)}
}

// findingsShown bounds the length of a condition's message.
const findingsShown = 8

// merge makes one finding of several: the reason of the first and the messages of the first few.
func merge(findings []finding) finding {
	if len(findings) == 0 {
		return finding{}
	}
	messages := make([]string, 0, findingsShown+1)
	for i, f := range findings {
		if i == findingsShown {
			messages = append(messages, fmt.Sprintf("and %d more", len(findings)-i))
			break
		}
		messages = append(messages, f.text())
	}
	return finding{reason: findings[0].reason, message: strings.Join(messages, "; ")}
}

// conditions collects the conditions of one object, all about the same generation of it.
type conditions struct {
	generation int64
	list       []metav1.Condition
}

// maxMessage bounds a condition's message, in bytes, well within the 32 768 that the API takes: it may quote
// what a user wrote.
const maxMessage = 8192

func (c *conditions) add(kind string, status metav1.ConditionStatus, reason, message string) {
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "..."
	}
	if c.list == nil {
		c.list = make([]metav1.Condition, 0, 3) // most objects have two or three
	}
	c.list = append(c.list, metav1.Condition{
		Type:               kind,
		Status:             status,
		ObservedGeneration: c.generation,
		Reason:             reason,
		Message:            message,
	})
}

// addUnless adds a condition that is False for the finding, and True with the reason and message given
// when there is none.
func (c *conditions) addUnless(f finding, kind, reason, message string) {
	if f.found() {
		c.add(kind, metav1.ConditionFalse, f.reason, f.text())
	} else {
		c.add(kind, metav1.ConditionTrue, reason, message)
	}
}

package kube

import (
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
)

// health is how the last list and the last watch of a watch went.
type health struct {
	forbidden []string // verbs
	gone      bool     // the API server does not know the resource
	err       error    // anything else, such as an API server that is away
	said      error    // what the API server said, of forbidden
}

func (w *watch) health() health {
	w.mu.Lock()
	defer w.mu.Unlock()
	var h health
	h.add("list", w.listErr)
	h.add("watch", w.watchErr)
	return h
}

func (h *health) add(verb string, err error) {
	switch {
	case err == nil:
	case apierrors.IsForbidden(err):
		h.forbidden = append(h.forbidden, verb)
		if h.said == nil {
			h.said = err
		}
	case apierrors.IsNotFound(err):
		h.gone = true
	default:
		h.err = err
	}
}

// place names what a watch covers, for messages.
func (w *watch) place() string {
	switch {
	case w.scope.namespace != "":
		return "in namespace " + w.scope.namespace
	case w.scope.name != "":
		return "of the name " + w.scope.name
	}
	return "in the whole cluster"
}

// forbiddenWarning says what is missing and which rule mends it.
func (w *watch) forbiddenWarning(h health, applied bool) source.Problem {
	harm := "none of them is used"
	switch {
	case applied:
		harm = "they stay as they were last read"
	case w.kind.name == namespaceKind:
		harm = "selectors of namespaces see no label of it but kubernetes.io/metadata.name"
	case w.kind.needed:
		harm = "without them no Gateway is served"
	}
	roles := "a ClusterRole and a ClusterRoleBinding"
	if w.scope.namespace != "" {
		roles = "a Role and a RoleBinding in namespace " + w.scope.namespace
	}
	group := w.kind.group
	if group == "" {
		group = `""`
	}
	return source.Problem{
		Object: source.Ref{Group: w.kind.group, Kind: w.kind.name, Namespace: w.scope.namespace, Name: w.scope.name},
		Message: fmt.Sprintf("the control plane may not %s %s %s: %s",
			strings.Join(h.forbidden, " and "), w.kind.resourceName(), w.place(), harm),
		Fix: fmt.Sprintf("give its service account %s with the verbs get, list, watch on %s of the API group %s",
			roles, w.kind.resource, group),
	}
}

// absentWarning tells of a kind that somebody counts on, or whose versions cannot be read.
func absentWarning(k *kind, unreadable []string) source.Problem {
	p := source.Problem{
		Object:  source.Ref{Group: k.group, Kind: k.name},
		Message: fmt.Sprintf("the cluster does not serve %s: its CRD is not installed", k.resourceName()),
		Fix:     "install the CRDs of " + bundleOf(k) + "; they are found without a restart",
	}
	if len(unreadable) > 0 {
		p.Message = fmt.Sprintf("the cluster serves %s only as %s, which cannot be read: none of them is used",
			k.resourceName(), strings.Join(unreadable, ", "))
		p.Fix = fmt.Sprintf("install CRDs of %s that serve %s", bundleOf(k), strings.Join(k.versions, " or "))
	}
	return p
}

func bundleOf(k *kind) string {
	switch k.group {
	case inferenceGroup:
		return "the Gateway API Inference Extension"
	case llmd.Group, llmd.OlderGroup:
		return "the llm-d Router"
	}
	return "Gateway API"
}

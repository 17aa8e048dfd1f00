package kube

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/internal/source"
)

// standsIn tells whether a Namespace that may not be read has to be made up: a listener's selector of namespaces must
// be able to find it by the label that every namespace has.
func (w *followed) standsIn() bool {
	return w.kind.name == namespaceKind && w.scope.name != "" && !w.applied && !w.stoodIn && len(w.health().forbidden) > 0
}

func bareNamespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{corev1.LabelMetadataName: name},
	}}
}

// warn lists what is wrong with access to the cluster, in a fixed order, and logs what is new.
func (o *owner) warn() []source.Problem {
	var out []source.Problem
	var failing error
	for _, w := range o.watches {
		h := w.health()
		if h.err != nil {
			failing = h.err
		}
		var text string
		if len(h.forbidden) > 0 {
			p := w.forbiddenWarning(h, w.applied)
			out = append(out, p)
			text = p.Error()
		}
		if text != w.logged {
			o.logForbidden(w, text, h.said)
		}
	}
	o.logFailing(failing)
	out = append(out, o.warnAbsent()...)
	slices.SortFunc(out, func(a, b source.Problem) int { return a.Object.Compare(b.Object) })
	return out
}

func (o *owner) logForbidden(w *followed, text string, said error) {
	w.logged = text
	if text == "" {
		o.log.Info("what was forbidden is allowed now", "resource", w.kind.resourceName(), "namespace", w.scope.namespace)
		return
	}
	o.log.Warn("the cluster does not let us read what we need", "problem", text, "error", said)
}

// logFailing tells once that watches fail, and once that none does any more.
func (o *owner) logFailing(err error) {
	if (err != nil) == o.failing {
		return
	}
	if o.failing = err != nil; o.failing {
		o.log.Warn("the cluster cannot be watched; the last view stays, and it is tried again", "error", err)
		return
	}
	o.log.Info("the cluster is watched again")
}

// warnAbsent tells of kinds that are not served. Most clusters lack some, so only those without which nothing works, or which
// somebody asked for by name, are worth a warning.
func (o *owner) warnAbsent() []source.Problem {
	if o.found == nil {
		return nil
	}
	var out []source.Problem
	for _, k := range o.kinds {
		if !k.custom || o.found.version[k.id()] != "" {
			continue
		}
		unreadable := o.found.unreadable[k.id()]
		if k.needed || o.chosen && !k.spare || len(unreadable) > 0 {
			out = append(out, absentWarning(k, unreadable))
		}
	}
	return out
}

// logAbsent tells in one line what is not served, when that changes.
func (o *owner) logAbsent() {
	var absent []string
	for _, k := range o.kinds {
		if k.custom && !k.older && o.found.version[k.id()] == "" {
			absent = append(absent, k.id())
		}
	}
	if text := strings.Join(absent, " "); text != o.absent {
		o.absent = text
		if text == "" {
			o.log.Info("the cluster serves all kinds now")
			return
		}
		o.log.Info("kinds without a CRD are left out until it is installed", "kinds", text)
	}
}

// logWaiting says what a start waits for.
func (o *owner) logWaiting() {
	var names []string
	for _, w := range o.awaited() {
		names = append(names, w.kind.resourceName()+" "+w.place())
	}
	slices.Sort(names)
	if o.found == nil {
		names = append(names, "what the cluster serves")
	}
	if len(names) > 0 {
		o.log.Warn("still waiting for the first complete view of the cluster", "for", time.Since(o.since).Round(time.Second), "missing", names)
	}
}

func (o *owner) counts() []any {
	var out []any
	for _, k := range o.kinds {
		if n := k.count(&o.view); n > 0 {
			out = append(out, k.id(), n)
		}
	}
	return out
}

package pipeline

import (
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate"
	"github.com/switchyard/switchyard/translate/gatewayapi"
	"github.com/switchyard/switchyard/translate/resource"
	"github.com/switchyard/switchyard/xds"
)

// RejectedByProxy is the reason of the condition of an object that proxies refused.
const RejectedByProxy = "RejectedByProxy"

// quarantine sets aside the objects that made a proxy refuse a resource, so that the resource can go on
// without them: with the object's last version that was not refused, or without the object.
//
// A proxy names the resource it refuses, not the object. Suspect are the objects of that resource that are
// not what they were in its last version that nobody refused. One suspect is the culprit. Several are all
// set aside, so that the rest is served at once, and let back in one by one: the one that is refused alone
// is the culprit.
type quarantine struct {
	entries map[source.Ref]*entry
	order   []source.Ref // of the entries, for trying them again in turn
	good    map[place]fingerprint
	current map[place]fingerprint
	refused map[place]string // version that was refused
}

// place is one resource of one view.
type place struct {
	view string
	id   resource.ID
}

// fingerprint says which version of a resource was made from which objects.
type fingerprint struct {
	version string
	objects map[source.Ref]metav1.Object
}

type entry struct {
	bad     metav1.Object // the very object; another pointer is another version
	good    metav1.Object // what is served instead, nil for nothing
	message string
	sure    bool // it was refused alone
}

func newQuarantine() *quarantine {
	return &quarantine{
		entries: map[source.Ref]*entry{},
		good:    map[place]fingerprint{},
		current: map[place]fingerprint{},
		refused: map[place]string{},
	}
}

// reject takes in a refusal and tells whether anything new is set aside.
func (q *quarantine) reject(r xds.Rejection) bool {
	at := place{view: r.View, id: r.Resource}
	now, ok := q.current[at]
	if !ok || now.version != r.Version {
		return false // refused is what is no longer served
	}
	q.refused[at] = r.Version
	suspects := q.suspects(now, q.good[at])
	for _, ref := range suspects {
		q.entries[ref] = &entry{
			bad:     now.objects[ref],
			good:    q.good[at].objects[ref],
			message: r.Error,
			sure:    len(suspects) == 1,
		}
		q.order = append(slices.DeleteFunc(q.order, func(o source.Ref) bool { return o == ref }), ref)
	}
	return len(suspects) > 0
}

// suspects lists the objects of a resource that changed since it was last good. A Gateway is never set
// aside: with it everything would be.
func (q *quarantine) suspects(now, good fingerprint) []source.Ref {
	var out []source.Ref
	for ref, object := range now.objects {
		if object != nil && good.objects[ref] != object && ref.Kind != "Gateway" {
			out = append(out, ref)
		}
	}
	slices.SortFunc(out, source.Ref.Compare)
	return out
}

// substitute gives the objects with those set aside replaced. Entries whose object has changed are let go.
func (q *quarantine) substitute(in *source.Objects) *source.Objects {
	for _, ref := range slices.Clone(q.order) {
		if object, ok := in.Find(ref); !ok || object != q.entries[ref].bad {
			q.release(ref)
		}
	}
	if len(q.entries) == 0 {
		return in
	}
	out := *in
	for ref, e := range q.entries {
		out.Put(ref, e.good)
	}
	return &out
}

// remember notes what each resource was made from. What was served until now and was not refused is good.
func (q *quarantine) remember(served *source.Objects, output *translate.Output) {
	next := map[place]fingerprint{}
	for name, view := range output.Views {
		for id, r := range view.Resources {
			at := place{view: name, id: id}
			old, known := q.current[at]
			if known && old.version != r.Version && q.refused[at] != old.version {
				q.good[at] = old
			}
			next[at] = fingerprint{version: r.Version, objects: objectsOf(served, r)}
		}
	}
	maps.DeleteFunc(q.good, func(at place, _ fingerprint) bool { _, ok := next[at]; return !ok })
	maps.DeleteFunc(q.refused, func(at place, version string) bool { return next[at].version != version })
	q.current = next
}

func objectsOf(served *source.Objects, r *resource.Resource) map[source.Ref]metav1.Object {
	out := make(map[source.Ref]metav1.Object, len(r.Sources))
	for _, ref := range r.Sources {
		if object, ok := served.Find(ref); ok {
			out[ref] = object
		}
	}
	return out
}

// unsure tells whether a suspect is left that may be innocent.
func (q *quarantine) unsure() bool {
	for _, e := range q.entries {
		if !e.sure {
			return true
		}
	}
	return false
}

// releaseSuspect lets the suspect that has waited longest back in.
func (q *quarantine) releaseSuspect() bool {
	for _, ref := range q.order {
		if !q.entries[ref].sure {
			q.release(ref)
			return true
		}
	}
	return false
}

func (q *quarantine) release(ref source.Ref) {
	delete(q.entries, ref)
	q.order = slices.DeleteFunc(q.order, func(o source.Ref) bool { return o == ref })
}

// overlay writes into the statuses what proxies refused. Statuses that it changes are copied.
func (q *quarantine) overlay(s *gatewayapi.Statuses) {
	routes := maps.Clone(s.HTTPRoutes)
	for _, ref := range q.order {
		key := source.Key{Namespace: ref.Namespace, Name: ref.Name}
		status, ok := routes[key]
		if ref.Kind != "HTTPRoute" || !ok {
			continue
		}
		status = status.DeepCopy()
		for i := range status.Parents {
			setRefused(&status.Parents[i].Conditions, q.entries[ref])
		}
		routes[key] = status
	}
	s.HTTPRoutes = routes
}

func setRefused(conditions *[]metav1.Condition, e *entry) {
	serving := "it is not served"
	if e.good != nil {
		serving = "the version before it goes on being served"
	}
	for i := range *conditions {
		c := &(*conditions)[i]
		if c.Type == string(gwv1.RouteConditionAccepted) {
			c.Status = metav1.ConditionFalse
			c.Reason = RejectedByProxy
			c.Message = fmt.Sprintf("the proxies refuse this version and %s; change what they name: %s", serving, e.message)
		}
	}
}

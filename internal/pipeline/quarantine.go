package pipeline

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate"
	"github.com/switchyard/switchyard/translate/resource"
	"github.com/switchyard/switchyard/xds"
)

// quarantine sets aside the objects that made a proxy refuse a resource, so that the resource can go on
// without them: with the object's last version that was accepted, or without the object.
//
// A proxy names the resource it refuses, not the object. Suspect are the objects of that resource that are
// not what they were in its last version that proxies accepted. One suspect is the culprit. Of several, those
// that the proxy's words point at are set aside, or else half of them: proxies keep what they have until a
// version is accepted, so that trying costs nobody anything, while leaving all of them out would. What was set
// aside that way is let back in as soon as the rest is accepted; what is refused alone is the culprit. With n
// objects that takes in the order of log n rounds.
type quarantine struct {
	entries map[source.Ref]*entry
	order   []source.Ref // of the entries, longest in quarantine first
	good    map[place]fingerprint
	current map[place]fingerprint
	refused map[place]refusal // of versions that are current

	// answers tells what proxies have said to a version of a resource.
	answers func(at place, version string) xds.Answers
	// patience bounds the wait for proxies that do not answer while others have accepted.
	patience time.Duration
	now      func() time.Time
}

// place is one resource of one view.
type place struct {
	view string
	id   resource.ID
}

// fingerprint says which version of a resource was made from which objects.
type fingerprint struct {
	version string
	since   time.Time
	sources []source.Ref    // ordered
	objects []metav1.Object // of the same index in sources
}

func (f fingerprint) object(ref source.Ref) metav1.Object {
	if i, found := slices.BinarySearchFunc(f.sources, ref, source.Ref.Compare); found {
		return f.objects[i]
	}
	return nil
}

// refusal is what a proxy said to a version.
type refusal struct {
	version string
	message string
}

type entry struct {
	at      place
	bad     metav1.Object // the very object; another pointer is another version
	good    metav1.Object // what is served instead, nil for nothing
	message string
	sure    bool // it was refused alone
}

func newQuarantine(answers func(place, string) xds.Answers, patience time.Duration) *quarantine {
	return &quarantine{
		entries:  map[source.Ref]*entry{},
		good:     map[place]fingerprint{},
		current:  map[place]fingerprint{},
		refused:  map[place]refusal{},
		answers:  answers,
		patience: patience,
		now:      time.Now,
	}
}

// reject takes in a refusal and lists what is set aside because of it. It tells whether it was news.
func (q *quarantine) reject(r xds.Rejection) (aside []source.Ref, news bool) {
	at := place{view: r.View, id: r.Resource}
	if q.good[at].version == r.Version {
		delete(q.good, at) // not every proxy accepted it after all
	}
	now, ok := q.current[at]
	if !ok || now.version != r.Version {
		return nil, false // what replaced it is on its way and will be judged itself
	}
	if q.refused[at].version == r.Version {
		return nil, false // another proxy said so
	}
	q.refused[at] = refusal{version: r.Version, message: strings.TrimSpace(r.Error)}
	return q.blame(at), true
}

// blame sets aside objects of a resource whose present version is refused.
func (q *quarantine) blame(at place) []source.Ref {
	now, message := q.current[at], q.refused[at].message
	suspects := q.suspects(now, q.good[at])
	aside := mostLikely(suspects, now, message)
	for _, ref := range aside {
		q.entries[ref] = &entry{
			at:      at,
			bad:     now.object(ref),
			good:    q.good[at].object(ref),
			message: message,
			sure:    len(suspects) == 1,
		}
		q.order = append(slices.DeleteFunc(q.order, func(o source.Ref) bool { return o == ref }), ref)
	}
	return aside
}

// blameMore sets aside more objects where doing so has left a refused version as it was: a change that makes
// no difference to proxies is never refused a second time. It tells whether there were any.
func (q *quarantine) blameMore() bool {
	more := false
	for at := range q.refused {
		more = len(q.blame(at)) > 0 || more
	}
	return more
}

// suspects lists the objects of a resource that changed since it was last good. A Gateway is never set
// aside: with it everything would be.
func (q *quarantine) suspects(now, good fingerprint) []source.Ref {
	var out []source.Ref
	for i, ref := range now.sources {
		if object := now.objects[i]; object != nil && good.object(ref) != object && ref.Kind != "Gateway" {
			out = append(out, ref)
		}
	}
	return out
}

// mostLikely chooses which suspects to set aside: those of which the refusal quotes something, or half.
func mostLikely(suspects []source.Ref, now fingerprint, message string) []source.Ref {
	if len(suspects) < 2 {
		return suspects
	}
	var quoted []source.Ref
	for _, ref := range suspects {
		if quotes(message, now.object(ref)) {
			quoted = append(quoted, ref)
		}
	}
	if len(quoted) > 0 && len(quoted) < len(suspects) {
		return quoted
	}
	return suspects[:(len(suspects)+1)/2]
}

// quotes tells whether a proxy's message holds a value of the object that hardly stands there by chance.
func quotes(message string, object metav1.Object) bool {
	text, err := json.Marshal(object)
	if err != nil {
		return false
	}
	var fields struct {
		Spec any `json:"spec"`
	}
	if err := json.Unmarshal(text, &fields); err != nil {
		return false
	}
	return anyQuoted(message, fields.Spec)
}

// shortestQuote is the length, in bytes, from which a value counts as quoted: the names of types and kinds
// that stand in every object are longer than most words of a message, and are left out below.
const shortestQuote = 4

func anyQuoted(message string, value any) bool {
	switch v := value.(type) {
	case string:
		return len(v) >= shortestQuote && !isWord(v) && strings.Contains(message, v)
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return anyQuoted(message, e) })
	case map[string]any:
		for _, e := range v {
			if anyQuoted(message, e) {
				return true
			}
		}
	}
	return false
}

// isWord tells whether a value is letters only: an enumeration or a plain word of the message.
func isWord(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
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

// remember notes what each resource was made from. A version that is replaced now was good if proxies ran it
// and none refused it.
func (q *quarantine) remember(served *source.Objects, output *translate.Output) {
	next := make(map[place]fingerprint, len(q.current))
	for name, view := range output.Views {
		for id, r := range view.Resources {
			at := place{view: name, id: id}
			f := newFingerprint(served, r)
			old, known := q.current[at]
			switch {
			case known && old.version == r.Version:
				f.since = old.since
			case known && q.accepted(at, old.version):
				q.good[at] = old
				fallthrough
			default:
				f.since = q.now()
			}
			next[at] = f
		}
	}
	maps.DeleteFunc(q.good, func(at place, _ fingerprint) bool { _, ok := next[at]; return !ok })
	maps.DeleteFunc(q.refused, func(at place, r refusal) bool { return next[at].version != r.version })
	q.current = next
}

func newFingerprint(served *source.Objects, r *resource.Resource) fingerprint {
	f := fingerprint{version: r.Version, sources: r.Sources, objects: make([]metav1.Object, len(r.Sources))}
	for i, ref := range r.Sources {
		if object, ok := served.Find(ref); ok {
			f.objects[i] = object
		}
	}
	return f
}

// accepted tells whether proxies run a version and none has refused it.
func (q *quarantine) accepted(at place, version string) bool {
	if q.refused[at].version == version {
		return false
	}
	a := q.answers(at, version)
	return a.Accepted > 0 && a.Refused == 0
}

// settled tells whether the present version of a resource is accepted as far as can be known: every proxy
// has, or some have and the others were given time enough. A resource that is gone is settled, too.
func (q *quarantine) settled(at place) bool {
	f, ok := q.current[at]
	if !ok {
		return true
	}
	if !q.accepted(at, f.version) {
		return false
	}
	return q.answers(at, f.version).Pending == 0 || q.now().Sub(f.since) >= q.patience
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

// releaseSuspects lets the unsure suspects of a resource back in once what is served without them is accepted.
// It tells whether there were any.
func (q *quarantine) releaseSuspects() bool {
	settled := map[place]bool{}
	released := false
	for _, ref := range slices.Clone(q.order) {
		e := q.entries[ref]
		if e.sure {
			continue
		}
		if _, asked := settled[e.at]; !asked {
			settled[e.at] = q.settled(e.at)
		}
		if settled[e.at] {
			q.release(ref)
			released = true
		}
	}
	return released
}

func (q *quarantine) release(ref source.Ref) {
	delete(q.entries, ref)
	q.order = slices.DeleteFunc(q.order, func(o source.Ref) bool { return o == ref })
}

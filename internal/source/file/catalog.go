package file

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/switchyard/switchyard/internal/source"
)

// catalog knows which file says what about which object and keeps the good version of each. It is owned by
// one goroutine; what it publishes is immutable. A change costs what changed, plus one copy of the sets it
// touches.
type catalog struct {
	files map[string]*manifest
	// claims lists who speaks for an object, in path order; the first one decides.
	claims map[source.Ref][]claim
	// contested are the objects with more than one claim that is not held.
	contested map[source.Ref]bool
	good      map[source.Ref]published
	// reports are the problems and warnings of those files that have any.
	reports map[string]report
	objects *source.Objects
	latest  source.Update
}

// claim is one place that names an object. A held claim has no item: it only keeps the last good version,
// and counts after all others.
type claim struct {
	path     string
	document int
	line     int
	position int // of the item in its document
	item     *item
}

func (c claim) held() bool { return c.item == nil }

func (c claim) compare(o claim) int {
	if c.held() != o.held() {
		if o.held() {
			return -1
		}
		return 1
	}
	return cmp.Or(strings.Compare(c.path, o.path), cmp.Compare(c.document, o.document), cmp.Compare(c.position, o.position))
}

type published struct {
	kind    *kind
	object  object
	content xxh3.Uint128
	spec    xxh3.Uint128
}

type report struct{ problems, warnings []source.Problem }

func newCatalog() *catalog {
	objects := &source.Objects{}
	return &catalog{
		files:     map[string]*manifest{},
		claims:    map[source.Ref][]claim{},
		contested: map[source.Ref]bool{},
		good:      map[source.Ref]published{},
		reports:   map[string]report{},
		objects:   objects,
		latest:    source.Update{Objects: objects},
	}
}

// update gives the newest view.
func (c *catalog) update() source.Update { return c.latest }

// apply takes in new versions of files, nil for a file that is gone, and tells whether the view changed.
func (c *catalog) apply(next map[string]*manifest) bool {
	affected := map[source.Ref]bool{}
	dropped := map[string]bool{}
	for path, m := range next {
		if old := c.files[path]; old != nil && old != m {
			dropped[path] = true
			for _, r := range append(old.refs(), old.heldRefs()...) {
				affected[r] = true
			}
		}
	}
	c.withdraw(affected, dropped)
	for path, m := range next {
		if m == nil {
			delete(c.files, path)
			delete(c.reports, path)
			continue
		}
		if c.files[path] == m {
			continue
		}
		c.files[path] = m
		c.enter(m, affected)
	}
	moved := c.decide(affected)
	u := source.Update{Objects: c.objects}
	u.Problems, u.Warnings = c.report()
	changed := moved || !slices.Equal(u.Problems, c.latest.Problems) || !slices.Equal(u.Warnings, c.latest.Warnings)
	if changed {
		c.latest = u
	}
	return changed
}

// withdraw removes the claims that the old versions of some files made on the affected objects.
func (c *catalog) withdraw(affected map[source.Ref]bool, dropped map[string]bool) {
	for r := range affected {
		rest := slices.DeleteFunc(c.claims[r], func(cl claim) bool { return dropped[cl.path] })
		if len(rest) == 0 {
			delete(c.claims, r)
		} else {
			c.claims[r] = rest
		}
	}
}

// enter adds the claims and the reports of a new version of a file.
func (c *catalog) enter(m *manifest, affected map[source.Ref]bool) {
	var rep report
	if m.failure != nil {
		rep.problems = append(rep.problems, *m.failure)
	}
	for _, d := range m.documents {
		place := claim{path: m.path, document: d.index, line: d.line}
		for i, it := range d.content.items {
			rep.problems = append(rep.problems, d.locate(m.path, it.problems)...)
			rep.warnings = append(rep.warnings, d.locate(m.path, it.warnings)...)
			if it.kind == nil {
				continue
			}
			place.position, place.item = i, it
			c.claims[it.ref] = append(c.claims[it.ref], place)
			affected[it.ref] = true
		}
		place.item = nil
		for _, r := range d.held {
			c.claims[r] = append(c.claims[r], place)
			affected[r] = true
		}
		if d.content.failure != nil {
			rep.problems = append(rep.problems, d.locate(m.path, []source.Problem{*d.content.failure})...)
		}
	}
	delete(c.reports, m.path)
	if len(rep.problems)+len(rep.warnings) > 0 {
		c.reports[m.path] = rep
	}
}

// locate fills in file and document and turns lines of the document into lines of the file.
func (d document) locate(path string, problems []source.Problem) []source.Problem {
	out := slices.Clone(problems)
	for i := range out {
		out[i].File, out[i].Document = path, d.index
		out[i].Line = d.line + max(out[i].Line, 1) - 1
	}
	return out
}

// decide chooses the version of each affected object and tells whether any object changed.
func (c *catalog) decide(affected map[source.Ref]bool) bool {
	changed := map[*kind]changes{}
	note := func(k *kind, r source.Ref, o object) {
		if changed[k] == nil {
			changed[k] = changes{}
		}
		changed[k][source.Key{Namespace: r.Namespace, Name: r.Name}] = o
	}
	for r := range affected {
		claims := c.claims[r]
		slices.SortFunc(claims, claim.compare)
		delete(c.contested, r)
		if len(claims) > 1 && !claims[1].held() {
			c.contested[r] = true
		}
		old, had := c.good[r]
		switch {
		case len(claims) == 0:
			if had {
				delete(c.good, r)
				note(old.kind, r, nil)
			}
		case claims[0].held() || claims[0].item.broken():
			// The last good version stays, if there is one.
		case !had || old.content != claims[0].item.content:
			p := publish(claims[0].item, old, had)
			c.good[r] = p
			note(p.kind, r, p.object)
		}
	}
	if len(changed) == 0 {
		return false
	}
	next := *c.objects
	for k, objects := range changed {
		k.replace(&next, objects)
	}
	c.objects = &next
	return true
}

// publish gives the object its generation: one, or one more than before when its spec changed. The item's
// own object has generation one and may be in somebody's hands, so another generation needs a copy.
func publish(it *item, old published, had bool) published {
	p := published{kind: it.kind, object: it.object, content: it.content, spec: it.spec}
	if !had {
		return p
	}
	generation := old.object.GetGeneration()
	if old.spec != it.spec {
		generation++
	}
	if generation != p.object.GetGeneration() {
		p.object = p.object.DeepCopyObject().(object)
		p.object.SetGeneration(generation)
	}
	return p
}

// report collects the problems and warnings of all files in path order, duplicates of objects included.
func (c *catalog) report() (problems, warnings []source.Problem) {
	for _, path := range sortedKeys(c.reports) {
		problems = append(problems, c.reports[path].problems...)
		warnings = append(warnings, c.reports[path].warnings...)
	}
	for r := range c.contested {
		problems = append(problems, duplicateProblems(r, c.claims[r])...)
	}
	slices.SortFunc(problems, compareProblems)
	slices.SortFunc(warnings, compareProblems)
	return problems, warnings
}

func duplicateProblems(r source.Ref, claims []claim) []source.Problem {
	var out []source.Problem
	for _, cl := range claims[1:] {
		if cl.held() {
			break
		}
		out = append(out, source.Problem{
			File: cl.path, Document: cl.document, Line: cl.line, Object: r,
			Message: fmt.Sprintf("the same object is in %s (document %d), which is the one that counts", claims[0].path, claims[0].document),
			Fix:     "remove one of the two or rename it",
		})
	}
	return out
}

func compareProblems(a, b source.Problem) int {
	return cmp.Or(
		strings.Compare(a.File, b.File),
		cmp.Compare(a.Document, b.Document),
		cmp.Compare(a.Line, b.Line),
		a.Object.Compare(b.Object),
		strings.Compare(a.Field, b.Field),
		strings.Compare(a.Message, b.Message),
	)
}

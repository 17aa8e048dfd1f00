package status

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// entries describes a list in which each controller keeps entries of its own: parents of a route or a pool,
// ancestors of a policy. C is the type of the controller's name there.
type entries[E any, C ~string] struct {
	limit      int      // length that the API takes, 64 at most
	types      []string // condition types that are ours
	controller func(*E) *C
	conditions func(*E) *[]metav1.Condition
	// same tells whether two entries are about the same parent, with fields left out read as the API does.
	same func(a, b *E) bool
	// adopted tells whether an entry without a controller's name is ours to replace or remove.
	adopted func(m *merger, e *E, want []E) bool
}

// merge keeps the entries of others as they are and where they are, updates ours in place, removes those of
// ours that are not wanted, and appends new ones. When others leave too little room, wanted ones are left
// out from the end.
func (l *entries[E, C]) merge(m *merger, have, want []E) []E {
	want = l.fit(m, have, want)
	if l.upToDate(m, have, want) {
		return have
	}
	m.changed = true
	out := make([]E, 0, len(have)+len(want))
	var met uint64
	for i := range have {
		if !l.isOurs(m, &have[i], want) {
			out = append(out, have[i])
		} else if j := l.find(want, &have[i], met); j >= 0 {
			met |= 1 << j
			out = append(out, l.update(m, &have[i], &want[j]))
		}
	}
	for j := range want {
		if met&(1<<j) == 0 {
			out = append(out, l.update(m, nil, &want[j]))
		}
	}
	return out
}

func (l *entries[E, C]) upToDate(m *merger, have, want []E) bool {
	same, count := true, 0
	var met uint64
	for i := range have {
		if !l.isOurs(m, &have[i], want) {
			continue
		}
		j := l.find(want, &have[i], met)
		if j < 0 {
			same = false
			continue
		}
		met |= 1 << j
		count++
		h, w := *l.conditions(&have[i]), *l.conditions(&want[j])
		m.checkGenerations(h, w)
		same = same && *l.controller(&have[i]) == *l.controller(&want[j]) && sameConditions(h, w, l.types)
	}
	return same && count == len(want)
}

// update gives the wanted entry as it goes onto the object. The reference stays as it is there: it may
// have fields filled in by the API server.
func (l *entries[E, C]) update(m *merger, have, want *E) E {
	out, there := *want, []metav1.Condition(nil)
	if have != nil {
		out, there = *have, *l.conditions(have)
		*l.controller(&out) = *l.controller(want)
	}
	*l.conditions(&out) = m.conditions(there, *l.conditions(want), l.types)
	return out
}

func (l *entries[E, C]) isOurs(m *merger, e *E, want []E) bool {
	if name := *l.controller(e); name != "" {
		return string(name) == m.controller
	}
	return l.adopted != nil && l.adopted(m, e, want)
}

// find gives the place of the wanted entry about the same parent that is not met yet, or -1.
func (l *entries[E, C]) find(want []E, e *E, met uint64) int {
	for j := range want {
		if met&(1<<j) == 0 && l.same(e, &want[j]) {
			return j
		}
	}
	return -1
}

// fit leaves out wanted entries that the list has no room for.
func (l *entries[E, C]) fit(m *merger, have, want []E) []E {
	room := l.limit
	for i := range have {
		if !l.isOurs(m, &have[i], want) {
			room--
		}
	}
	if room = max(room, 0); len(want) <= room {
		return want
	}
	m.leftOut += len(want) - room
	return want[:room]
}

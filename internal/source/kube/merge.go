package kube

import (
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/switchyard/switchyard/internal/source"
)

// change is how much of an object differs from what was kept of it, from nothing to something that readers act on.
type change int

const (
	// nothing: the very same object.
	nothing change = iota
	// versionOnly: only the resource version moved, as when a field was written that is not kept.
	versionOnly
	// statusOnly: only a status moved that nobody but a status writer reads.
	statusOnly
	// content: anything else.
	content
)

// mergeInto puts changed objects into a set and tells the greatest change among them. Objects of which only the version
// moved are put in as well: a status writer wants the newest version, and the older object need not be kept alive.
func mergeInto[T any, P pointer[T]](set *source.Set[P], c changes, clearStatus func(P)) change {
	most := nothing
	replace := make(map[source.Key]*P, len(c))
	for key, o := range c {
		old, had := set.Get(key.Namespace, key.Name)
		next, has := o.(P)
		how := content
		switch {
		case had && has:
			how = compare[T](old, next, clearStatus)
		case !had && !has:
			how = nothing
		}
		if how == nothing {
			continue
		}
		most = max(most, how)
		if replace[key] = nil; has {
			replace[key] = &next
		}
	}
	if len(replace) > 0 {
		*set = set.Replace(replace)
	}
	return most
}

// compare works on shallow copies: neither object is written to.
func compare[T any, P pointer[T]](old, next P, clearStatus func(P)) change {
	if old == next {
		return nothing
	}
	a, b := *old, *next
	P(&a).SetResourceVersion("")
	P(&b).SetResourceVersion("")
	if equality.Semantic.DeepEqual(&a, &b) {
		return versionOnly
	}
	if clearStatus == nil {
		return content
	}
	clearStatus(&a)
	clearStatus(&b)
	if equality.Semantic.DeepEqual(&a, &b) {
		return statusOnly
	}
	return content
}

package xds

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/resource"
)

// Rejection says that a proxy refused one version of one resource. The proxy keeps the version before it.
type Rejection struct {
	View     string
	Node     string // node.id of the proxy
	Resource resource.ID
	Version  string
	Sources  []source.Ref // the API objects that the resource was made from
	Error    string       // the proxy's own words
}

// departedRejection is how long a rejection outlives its proxy's stream. A proxy that reconnects within it is not
// sent the version again, and the status of the object does not flap meanwhile.
const departedRejection = time.Minute

type rejectionKey struct {
	view, node string
	key        key
}

type standingRejection struct {
	Rejection
	gone time.Time // when the proxy's last stream ended; zero while it is connected
}

// rejections is the set that stands now, of all proxies.
type rejections struct {
	mu  sync.Mutex
	set map[rejectionKey]*standingRejection
}

// add keeps a rejection and says whether it is news.
func (r *rejections) add(k rejectionKey, rej Rejection) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.set[k]
	r.set[k] = &standingRejection{Rejection: rej}
	return old == nil || old.Version != rej.Version || old.Error != rej.Error
}

// clear ends one rejection.
func (r *rejections) clear(k rejectionKey) (Rejection, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.set[k]
	if old == nil {
		return Rejection{}, false
	}
	delete(r.set, k)
	return old.Rejection, true
}

// take ends those for which drop is true and returns them.
func (r *rejections) take(drop func(rejectionKey, *standingRejection) bool) []Rejection {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Rejection
	for k, s := range r.set {
		if drop(k, s) {
			delete(r.set, k)
			out = append(out, s.Rejection)
		}
	}
	sortRejections(out)
	return out
}

// depart notes that a proxy has no stream any more.
func (r *rejections) depart(view, node string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, s := range r.set {
		if k.view == view && k.node == node {
			s.gone = now
		}
	}
}

// resume gives a returning proxy the versions that it rejected before.
func (r *rejections) resume(view, node string) map[key]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out map[key]string
	for k, s := range r.set {
		if k.view != view || k.node != node {
			continue
		}
		if out == nil {
			out = map[key]string{}
		}
		s.gone = time.Time{}
		out[k.key] = s.Version
	}
	return out
}

func (r *rejections) list() []Rejection {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Rejection, 0, len(r.set))
	for _, s := range r.set {
		out = append(out, s.Rejection)
	}
	sortRejections(out)
	return out
}

func sortRejections(list []Rejection) {
	slices.SortFunc(list, func(a, b Rejection) int {
		return cmp.Or(
			cmp.Compare(a.View, b.View),
			cmp.Compare(a.Resource.Type, b.Resource.Type),
			cmp.Compare(a.Resource.Name, b.Resource.Name),
			cmp.Compare(a.Node, b.Node),
		)
	})
}

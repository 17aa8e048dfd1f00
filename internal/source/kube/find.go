package kube

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// found is what the cluster serves of the custom kinds, by the id of the kind.
type found struct {
	version    map[string]string   // the version to read
	unreadable map[string][]string // versions served, of kinds that have none that can be read
}

func (f *found) equal(g *found) bool {
	return g != nil && maps.Equal(f.version, g.version) && maps.EqualFunc(f.unreadable, g.unreadable, slices.Equal)
}

// finder asks what the cluster serves. It reads the documents of the groups and versions, some kilobytes that every
// service account may read and the API server holds in memory. Watching the CRDs would cost a ClusterRole and megabytes.
type finder struct {
	client rest.Interface
	groups map[string][]*kind // of the custom kinds
}

func newFinder(config *rest.Config, client *http.Client, of []*kind) (*finder, error) {
	d, err := discovery.NewDiscoveryClientForConfigAndClient(config, client)
	if err != nil {
		return nil, err
	}
	f := &finder{client: d.RESTClient(), groups: map[string][]*kind{}}
	for _, k := range of {
		if k.custom {
			f.groups[k.group] = append(f.groups[k.group], k)
		}
	}
	return f, nil
}

// find asks for every group. An error means that nothing is known, not that a kind is absent.
func (f *finder) find(ctx context.Context) (*found, error) {
	out := &found{version: map[string]string{}, unreadable: map[string][]string{}}
	for _, group := range slices.Sorted(maps.Keys(f.groups)) {
		if err := f.findGroup(ctx, group, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// findGroup asks for the versions of a group, newest first, until each kind has been found in its best one.
func (f *finder) findGroup(ctx context.Context, group string, out *found) error {
	var served metav1.APIGroup
	if err := f.get(ctx, &served, "/apis", group); err != nil {
		return err
	}
	for _, v := range served.Versions {
		if f.settled(group, v.Version, out) {
			continue
		}
		var list metav1.APIResourceList
		if err := f.get(ctx, &list, "/apis", group, v.Version); err != nil {
			return err
		}
		for _, k := range f.groups[group] {
			if slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == k.resource }) {
				out.add(k, v.Version)
			}
		}
	}
	return nil
}

// settled tells whether a version can add nothing to what was found in the ones before.
func (f *finder) settled(group, version string, out *found) bool {
	return !slices.ContainsFunc(f.groups[group], func(k *kind) bool {
		have := out.version[k.id()]
		return have == "" || rank(k, version) < rank(k, have)
	})
}

func (f *found) add(k *kind, version string) {
	have := f.version[k.id()]
	switch {
	case !slices.Contains(k.versions, version):
		if have == "" {
			f.unreadable[k.id()] = append(f.unreadable[k.id()], version)
		}
	case have == "" || rank(k, version) < rank(k, have):
		f.version[k.id()] = version
		delete(f.unreadable, k.id())
	}
}

// rank is the place of a version among those that can be read, best first.
func rank(k *kind, version string) int {
	if i := slices.Index(k.versions, version); i >= 0 {
		return i
	}
	return len(k.versions)
}

// get reads a discovery document; one that is not there leaves into empty.
func (f *finder) get(ctx context.Context, into runtime.Object, path ...string) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	err := f.client.Get().AbsPath(path...).Do(ctx).Into(into)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// lookTimeout bounds one question.
const lookTimeout = 10 * time.Second

// pollTiming says how often it is asked: after first, then twice as long each time up to most while a kind is absent,
// and only each complete when none is. A watch that is told that its resource is gone asks at once.
type pollTiming struct{ first, most, complete time.Duration }

// poller asks again and again, and hands every answer to one reader.
type poller struct {
	finder *finder
	timing pollTiming
	log    *slog.Logger
	found  chan *found
	kick   chan struct{}
}

func newPoller(f *finder, t pollTiming, log *slog.Logger) *poller {
	return &poller{finder: f, timing: t, log: log, found: make(chan *found), kick: make(chan struct{}, 1)}
}

// ask makes the next question come at once. It does not block.
func (p *poller) ask() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

func (p *poller) run(ctx context.Context) {
	wait := p.timing.first
	var last *found
	failing := false
	for ctx.Err() == nil {
		now, err := p.finder.find(ctx)
		if failed := err != nil && ctx.Err() == nil; failed != failing {
			failing = failed
			p.logTurn(err)
		}
		if err == nil {
			if !now.equal(last) {
				wait = p.timing.first
			}
			last = now
			select {
			case p.found <- now:
			case <-ctx.Done():
				return
			}
		}
		pause := wait
		if err == nil && p.finder.complete(now) {
			pause = p.timing.complete
		}
		wait = min(2*wait, p.timing.most)
		if p.rest(ctx, pause) {
			wait = p.timing.first
		}
	}
}

// rest waits, up to a fifth longer than told so that replicas do not ask in step, and tells whether it was cut short.
func (p *poller) rest(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause + rand.N(pause/5+1))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-p.kick:
		return true
	}
	return false
}

func (p *poller) logTurn(err error) {
	if err == nil {
		p.log.Info("the API server tells again what it serves")
		return
	}
	p.log.Warn("the API server does not tell what it serves; it is asked again", "error", err)
}

// complete tells whether every custom kind is served in its best version. Kinds that another group has now stay away for good on
// most clusters, and do not count.
func (f *finder) complete(now *found) bool {
	for _, of := range f.groups {
		for _, k := range of {
			if !k.older && now.version[k.id()] != k.versions[0] {
				return false
			}
		}
	}
	return true
}

package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/objective"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/file"
	"github.com/switchyard/switchyard/translate/resource"
	"github.com/switchyard/switchyard/xds"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeViews is one proxy for every view: it takes what does not contain a bad text.
type fakeViews struct {
	bad string

	mu      sync.Mutex
	views   map[string]*resource.View
	sets    int
	reject  func(xds.Rejection)
	refused map[place]string // version that is not sent again before another one was taken
}

func (f *fakeViews) SetView(v *resource.View) {
	f.mu.Lock()
	f.sets++
	f.views[v.Name] = v
	var said []xds.Rejection
	for id, r := range v.Resources {
		at := place{v.Name, id}
		if f.bad == "" || !strings.Contains(string(r.Body.GetValue()), f.bad) {
			delete(f.refused, at)
		} else if f.refused[at] != r.Version {
			f.refused[at] = r.Version
			said = append(said, xds.Rejection{View: v.Name, Node: "p", Resource: id, Version: r.Version, Error: "cannot take it"})
		}
	}
	f.mu.Unlock()
	for _, r := range said {
		f.reject(r)
	}
}

func (f *fakeViews) RemoveView(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.views, name)
}

func (f *fakeViews) Answers(view string, id resource.ID, version string) xds.Answers {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused[place{view, id}] == version {
		return xds.Answers{Refused: 1}
	}
	return xds.Answers{Accepted: 1}
}

// table gives the bytes of a view's route table as text, empty without one.
func (f *fakeViews) table(view string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v := f.views[view]; v != nil {
		if r := v.Resources[tableID]; r != nil {
			return string(r.Body.GetValue())
		}
	}
	return ""
}

type fakePools struct {
	mu    sync.Mutex
	pools map[string][]datalayer.Spec
}

func (f *fakePools) Set(key string, specs []datalayer.Spec) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pools[key] = specs
}

func (f *fakePools) Delete(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.pools, key)
}

func (f *fakePools) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, key := range slices.Sorted(maps.Keys(f.pools)) {
		out = append(out, fmt.Sprint(key, f.pools[key]))
	}
	return strings.Join(out, " ")
}

// bed is a pipeline that runs between a store and fakes.
type bed struct {
	t        *testing.T
	store    *source.Store
	views    *fakeViews
	pools    *fakePools
	rules    atomic.Pointer[objective.Rules]
	pipeline *Pipeline
}

func newBed(t *testing.T, bad string) *bed {
	b := &bed{
		t: t, store: source.NewStore(),
		views: &fakeViews{bad: bad, views: map[string]*resource.View{}, refused: map[place]string{}},
		pools: &fakePools{pools: map[string][]datalayer.Spec{}},
	}
	b.pipeline = New(Options{Store: b.store, Views: b.views, Pools: b.pools, Rules: &b.rules, Log: slog.New(slog.DiscardHandler)})
	b.views.reject = b.pipeline.Reject
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.pipeline.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with: %v", err)
		}
	})
	return b
}

// load reads the objects of a manifest.
func (b *bed) load(manifest string) source.Update {
	b.t.Helper()
	dir := b.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "m.yaml"), []byte(manifest), 0o644); err != nil {
		b.t.Fatal(err)
	}
	update, err := file.Load(dir)
	if err != nil || len(update.Problems) > 0 {
		b.t.Fatalf("bad manifest: %v %v", err, update.Problems)
	}
	return update
}

// put replaces the objects by those of a manifest and waits until they have been compiled.
func (b *bed) put(manifest string) *Result {
	b.t.Helper()
	update := b.load(manifest)
	before, changed := b.pipeline.Latest()
	b.store.Put(update)
	select {
	case <-changed:
	case <-time.After(5 * time.Second):
		b.t.Fatal("the objects were not compiled")
	}
	now, _ := b.pipeline.Latest()
	if now == before {
		b.t.Fatal("a change was announced without a new result")
	}
	return now
}

func (b *bed) eventually(what string, holds func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			b.t.Fatalf("not within 5 s: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

const gatewayManifest = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: switchyard}
spec: {controllerName: switchyard.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: default}
spec:
  gatewayClassName: switchyard
  listeners: [{name: http, protocol: HTTP, port: 80}]
`

func routeManifest(name, host string) string {
	return fmt.Sprintf(`
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %s, namespace: default}
spec:
  parentRefs: [{name: gw}]
  hostnames: [%s]
  rules: [{backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: pool}]}]
`, name, host)
}

const poolManifest = `
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: pool, namespace: default}
spec:
  selector: {matchLabels: {app: x}}
  targetPorts: [{number: 8000}]
---
apiVersion: v1
kind: Pod
metadata: {name: x-1, namespace: default, labels: {app: x}}
spec: {containers: [{name: c, image: i}]}
status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}
`

func condition(r *Result, route string) string {
	status := r.Statuses.HTTPRoutes[source.Key{Namespace: "default", Name: route}]
	for _, c := range status.Parents[0].Conditions {
		if c.Type == "Accepted" {
			if strings.Contains(c.Message, "while it is found out") {
				return "suspect"
			}
			return string(c.Status) + " " + c.Reason
		}
	}
	return ""
}

func TestObjectsReachProxiesAndPicker(t *testing.T) {
	b := newBed(t, "")
	if result, _ := b.pipeline.Latest(); result != nil {
		t.Error("there is a result before there are objects")
	}
	r := b.put(gatewayManifest + routeManifest("a", "a.example") + poolManifest)
	if got := b.views.table(viewName); !strings.Contains(got, "a.example") {
		t.Errorf("the view's route table is %q", got)
	}
	if got, want := b.pools.text(), "default/pool[{x-1-rank-0 default x-1 0 10.0.0.1:8000 map[app:x]}]"; got != want {
		t.Errorf("the picker has %s, want %s", got, want)
	}
	if got := condition(r, "a"); got != "True Accepted" {
		t.Errorf("the route's condition is %s", got)
	}
	b.put(gatewayManifest + routeManifest("a", "b.example"))
	if got := b.views.table(viewName); strings.Contains(got, "a.example") || !strings.Contains(got, "b.example") {
		t.Errorf("after the edit the view's route table is %q", got)
	}
	if got := b.pools.text(); got != "" {
		t.Errorf("after the pool is gone the picker has %s", got)
	}
	b.put(poolManifest)
	if len(b.views.views) != 0 {
		t.Error("the view outlived its Gateway")
	}
	if got := b.pools.text(); !strings.HasPrefix(got, "default/pool") {
		t.Errorf("a pool that no route uses is unknown to the picker: %q", got)
	}
}

func TestRefusedRouteIsSetAside(t *testing.T) {
	b := newBed(t, "bad.example")
	good := gatewayManifest + poolManifest + routeManifest("good", "good.example")
	b.put(good + routeManifest("other", "before.example"))
	b.put(good + routeManifest("other", "bad.example"))
	b.eventually("the route is refused", func() bool {
		r, _ := b.pipeline.Latest()
		return condition(r, "other") == "False "+RejectedByProxy && condition(r, "good") == "True Accepted"
	})
	if got := b.views.table(viewName); !strings.Contains(got, "before.example") || !strings.Contains(got, "good.example") {
		t.Errorf("served is %q, want the good route and the other one's version before", got)
	}
	r, _ := b.pipeline.Latest()
	if route, _ := r.Objects.HTTPRoutes.Get("default", "other"); route.Spec.Hostnames[0] != "bad.example" {
		t.Error("the result does not hold the objects as they were written")
	}
	b.put(good + routeManifest("other", "mended.example"))
	b.eventually("the mended route is served", func() bool { return strings.Contains(b.views.table(viewName), "mended.example") })
	r, _ = b.pipeline.Latest()
	if got := condition(r, "other"); got != "True Accepted" {
		t.Errorf("the mended route's condition is %s", got)
	}
}

// Without any version known to be good, and with a refusal that names nothing, the culprit is found and
// everybody else is served.
func TestCulpritIsFoundFromTheStart(t *testing.T) {
	b := newBed(t, "bad.example")
	manifest := gatewayManifest + poolManifest + routeManifest("r7", "bad.example")
	var names []string
	for i := range 20 {
		if i != 7 {
			names = append(names, fmt.Sprint("r", i))
			manifest += routeManifest(fmt.Sprint("r", i), fmt.Sprintf("h%d.example", i))
		}
	}
	b.put(manifest)
	b.eventually("only the culprit is left out", func() bool {
		r, _ := b.pipeline.Latest()
		for _, name := range names {
			if condition(r, name) != "True Accepted" {
				return false
			}
		}
		return condition(r, "r7") == "False "+RejectedByProxy
	})
	got := b.views.table(viewName)
	for i := range 20 {
		if served := strings.Contains(got, fmt.Sprintf("h%d.example", i)); served != (i != 7) {
			t.Errorf("route r%d is served: %v", i, served)
		}
	}
}

// Objects that change all the time do not keep a suspect in quarantine.
func TestSuspectsAreTriedUnderChurn(t *testing.T) {
	b := newBed(t, "bad.example")
	update := b.load(gatewayManifest + poolManifest + routeManifest("innocent", "new.example") + routeManifest("zz", "bad.example"))
	pod, _ := update.Objects.Pods.Get("default", "x-1")
	i := 0
	b.eventually("the verdict falls", func() bool {
		i++
		next, other := *update.Objects, pod.DeepCopy()
		other.Status.PodIP = fmt.Sprintf("10.0.%d.%d", i/250%250, 1+i%250)
		next.Pods = next.Pods.With(other)
		b.store.Put(source.Update{Objects: &next})
		r, _ := b.pipeline.Latest()
		return r != nil && condition(r, "innocent") == "True Accepted" && condition(r, "zz") == "False "+RejectedByProxy
	})
}

// A fleet says the same thing a thousand times; nothing that only one of them says is lost, and nobody waits.
func TestManyRejectionsAtOnce(t *testing.T) {
	p := New(Options{Store: source.NewStore()})
	for i := range 1000 {
		p.Reject(xds.Rejection{View: viewName, Node: fmt.Sprint(i), Resource: tableID, Version: "1"})
	}
	p.Reject(xds.Rejection{View: viewName, Node: "p", Resource: listenerID, Version: "1"})
	taken := p.takeRejected()
	if len(taken) != 2 || len(p.takeRejected()) != 0 {
		t.Errorf("%d rejections are kept, want one of each resource, once", len(taken))
	}
	if len(p.refusals) != 1 {
		t.Error("Run is not woken")
	}
}

package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate"
	"github.com/switchyard/switchyard/translate/gatewayapi"
	"github.com/switchyard/switchyard/translate/resource"
	"github.com/switchyard/switchyard/xds"
)

const viewName = "default/gw"

var (
	tableID    = resource.ID{Type: resource.RouteType, Name: "http/80"}
	listenerID = resource.ID{Type: resource.ListenerType, Name: "http/80"}
	gatewayRef = source.Ref{Group: gwv1.GroupName, Kind: "Gateway", Namespace: "default", Name: "gw"}
)

func routeRef(name string) source.Ref {
	return source.Ref{Group: gwv1.GroupName, Kind: "HTTPRoute", Namespace: "default", Name: name}
}

// newRoute makes a version of a route; its text stands in its spec, where a refusal may quote it.
func newRoute(name, text string) *gwv1.HTTPRoute {
	r := &gwv1.HTTPRoute{}
	r.Namespace, r.Name = "default", name
	r.Spec.Hostnames = []gwv1.Hostname{gwv1.Hostname(text)}
	return r
}

func objectsOf(routes ...*gwv1.HTTPRoute) *source.Objects {
	gw := &gwv1.Gateway{}
	gw.Namespace, gw.Name = "default", "gw"
	return &source.Objects{Gateways: source.NewSet(gw), HTTPRoutes: source.NewSet(routes...)}
}

// table stands for translation: one route table made of all routes, and a listener made of the Gateway alone.
func table(t *testing.T, objects *source.Objects) *translate.Output {
	t.Helper()
	var parts []string
	sources := []source.Ref{gatewayRef}
	for r := range objects.HTTPRoutes.All() {
		parts = append(parts, fmt.Sprint(r.Name, "=", r.Spec.Hostnames))
		sources = append(sources, routeRef(r.Name))
	}
	version := "table " + strings.Join(parts, " ")
	return &translate.Output{Views: map[string]*resource.View{viewName: {Name: viewName, Resources: map[resource.ID]*resource.Resource{
		tableID:    {ID: tableID, Version: version, Sources: sources},
		listenerID: {ID: listenerID, Version: "listener", Sources: []source.Ref{gatewayRef}},
	}}}}
}

// fakeFleet is proxies that refuse every version of the route table in which a bad text occurs.
type fakeFleet struct {
	t       *testing.T
	q       *quarantine
	bad     []string // texts
	quote   bool     // the refusal names the text
	silent  int      // proxies that answer nothing
	objects *source.Objects
	served  *source.Objects
	refused int // refusals so far
	answer  map[string]xds.Answers
}

func newFakeFleet(t *testing.T, bad ...string) *fakeFleet {
	f := &fakeFleet{t: t, bad: bad, answer: map[string]xds.Answers{}}
	f.q = newQuarantine(func(at place, version string) xds.Answers {
		if at.id != tableID {
			return xds.Answers{Accepted: 1}
		}
		return f.answer[version]
	}, time.Second)
	return f
}

// compile serves what is left of the objects.
func (f *fakeFleet) compile() {
	f.served = f.q.substitute(f.objects)
	f.q.remember(f.served, table(f.t, f.served))
}

// set compiles objects that the fleet has not answered to yet.
func (f *fakeFleet) set(routes ...*gwv1.HTTPRoute) {
	f.objects = objectsOf(routes...)
	f.compile()
}

func (f *fakeFleet) version() string { return f.q.current[place{viewName, tableID}].version }

// routes is what the present version holds.
func (f *fakeFleet) routes() string {
	return strings.TrimSpace(strings.TrimPrefix(f.version(), "table"))
}

// reply lets the fleet answer to the present version, and tells whether it took it.
func (f *fakeFleet) reply() bool {
	version := f.version()
	message := ""
	for _, bad := range f.bad {
		if strings.Contains(version, bad) && message == "" {
			message = "something is wrong"
			if f.quote {
				message = "cannot take " + bad
			}
		}
	}
	if message == "" {
		f.answer[version] = xds.Answers{Accepted: 2, Pending: f.silent}
		return true
	}
	f.refused++
	f.answer[version] = xds.Answers{Refused: 2, Pending: f.silent}
	for range 2 {
		f.q.reject(xds.Rejection{View: viewName, Node: "p", Resource: tableID, Version: version, Error: message})
	}
	for more := true; more; more = f.q.blameMore() {
		f.compile()
	}
	return false
}

// settle goes on until nobody is unsure any more; it gives the largest number of routes that were left out
// of a version that the fleet took.
func (f *fakeFleet) settle() (out int) {
	f.t.Helper()
	for range 100 {
		if f.reply() {
			out = max(out, f.objects.HTTPRoutes.Len()-f.served.HTTPRoutes.Len())
			if !f.q.unsure() {
				return out
			}
			if f.q.releaseSuspects() {
				f.compile()
			}
		}
	}
	f.t.Fatalf("not settled after 100 rounds: %v", f.q.order)
	return out
}

// expect compares what is served, and who is said to be the culprit.
func (f *fakeFleet) expect(want string, culprits ...string) {
	f.t.Helper()
	if got := f.routes(); got != want {
		f.t.Errorf("served is %q, want %q", got, want)
	}
	var names []string
	for ref, e := range f.q.entries {
		if !e.sure {
			f.t.Errorf("%s is in quarantine on suspicion", ref)
		}
		names = append(names, ref.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, culprits) {
		f.t.Errorf("culprits are %v, want %v", names, culprits)
	}
}

func TestOneChangeIsTheCulprit(t *testing.T) {
	f := newFakeFleet(t, "bad")
	f.set(newRoute("a", "a1"), newRoute("b", "b1"))
	f.reply()
	a := newRoute("a", "a1")
	f.set(a, newRoute("b", "bad"))
	f.settle()
	// Both routes were read anew with the edit; only the version of a in force counts.
	f.expect("a=[a1] b=[b1]", "b")

	// Later changes of others leave it where it is.
	b := f.objects.HTTPRoutes
	bad, _ := b.Get("default", "b")
	f.set(newRoute("a", "a2"), bad)
	f.settle()
	f.expect("a=[a2] b=[b1]", "b")

	// A new version of it is a new chance.
	f.set(newRoute("a", "a2"), newRoute("b", "b3"))
	f.settle()
	f.expect("a=[a2] b=[b3]")
}

func TestANewRouteThatIsRefusedIsLeftOut(t *testing.T) {
	f := newFakeFleet(t, "bad")
	a := newRoute("a", "a1")
	f.set(a)
	f.reply()
	f.set(a, newRoute("b", "bad"))
	f.settle()
	f.expect("a=[a1]", "b")
	f.set(a)
	f.settle()
	f.expect("a=[a1]")
}

func TestCulpritsAmongManyChanges(t *testing.T) {
	for _, quote := range []bool{false, true} {
		for _, known := range []bool{false, true} {
			for n := 2; n <= 40; n += 7 {
				for _, bad := range [][]int{{0}, {n - 1}, {n / 2}, {0, n - 1}} {
					t.Run(fmt.Sprintf("%d routes, bad %v, quoted %v, earlier versions known %v", n, bad, quote, known), func(t *testing.T) {
						f := newFakeFleet(t, "bad-0.example", "bad-1.example")
						f.quote = quote
						var before, after []*gwv1.HTTPRoute
						for i := range n {
							before = append(before, newRoute(fmt.Sprintf("r%02d", i), "old"))
							after = append(after, newRoute(fmt.Sprintf("r%02d", i), "new"))
						}
						var want, culprits []string
						for i, b := range bad {
							after[b] = newRoute(after[b].Name, fmt.Sprintf("bad-%d.example", i))
						}
						slices.Sort(bad)
						bad = slices.Compact(bad)
						for i := range n {
							switch {
							case !slices.Contains(bad, i):
								want = append(want, after[i].Name+"=[new]")
							case known:
								want = append(want, after[i].Name+"=[old]")
							}
						}
						for _, b := range bad {
							culprits = append(culprits, after[b].Name)
						}
						if known {
							f.set(before...)
							f.reply()
						}
						f.set(after...)
						out := f.settle()
						f.expect(strings.Join(want, " "), culprits...)
						if quote && out > len(bad) {
							t.Errorf("%d routes were left out on the way", out)
						}
						if limit := 4 + 5*len(bad)*log2(n); f.refused > limit {
							t.Errorf("%d refusals, want at most %d", f.refused, limit)
						}
					})
				}
			}
		}
	}
}

func log2(n int) int {
	out := 0
	for ; n > 1; n /= 2 {
		out++
	}
	return out
}

// A refused version that was replaced before the refusal came must not become what is good.
func TestVersionInFlightIsNotGood(t *testing.T) {
	f := newFakeFleet(t, "bad")
	a, b := newRoute("a", "a1"), newRoute("b", "b1")
	f.set(a, b)
	f.reply()
	bad := newRoute("a", "bad")
	f.set(bad, b)
	late := f.version()
	f.set(bad, newRoute("b", "b2"))
	f.answer[late] = xds.Answers{Refused: 1, Pending: 1}
	if aside, news := f.q.reject(xds.Rejection{View: viewName, Resource: tableID, Version: late, Error: "no"}); news || aside != nil {
		t.Errorf("a refusal of what is no longer served set aside %v", aside)
	}
	f.settle()
	f.expect("a=[a1] b=[b2]", "a")
}

// Objects that no proxy has looked at are not good because time went by.
func TestNothingIsGoodWithoutProxies(t *testing.T) {
	f := newFakeFleet(t, "bad")
	f.set(newRoute("a", "bad"), newRoute("b", "b1"))
	bad, _ := f.objects.HTTPRoutes.Get("default", "a")
	f.set(bad, newRoute("b", "b2")) // no proxy yet
	f.settle()
	f.expect("b=[b2]", "a")
}

// A proxy that says nothing holds a trial up for as long as patience lasts, and no longer.
func TestSilentProxyDoesNotStopTrials(t *testing.T) {
	f := newFakeFleet(t, "bad")
	now := time.Unix(1000, 0)
	f.q.now = func() time.Time { return now }
	f.silent = 1
	f.set(newRoute("a", "a1"), newRoute("b", "bad"))
	for !f.reply() {
		continue
	}
	if !f.q.unsure() || f.q.releaseSuspects() {
		t.Fatal("a suspect was tried although a proxy had not answered yet")
	}
	now = now.Add(time.Second)
	if !f.q.releaseSuspects() {
		t.Error("a suspect was not tried after the proxy was waited for")
	}
}

func TestSuspectsAreKeptWhileNobodyAnswers(t *testing.T) {
	f := newFakeFleet(t, "bad")
	f.set(newRoute("a", "a1"), newRoute("b", "bad"))
	f.q.reject(xds.Rejection{View: viewName, Resource: tableID, Version: f.version(), Error: "no"})
	f.compile()
	if f.q.releaseSuspects() {
		t.Error("a suspect was released before any proxy took what is served without it")
	}
}

func TestGatewayIsNeverSetAside(t *testing.T) {
	f := newFakeFleet(t)
	f.set(newRoute("a", "a1"))
	aside, news := f.q.reject(xds.Rejection{View: viewName, Resource: listenerID, Version: "listener", Error: "cannot bind"})
	if len(aside) != 0 || !news {
		t.Errorf("set aside %v, news %v; want nothing, but news", aside, news)
	}
	if _, again := f.q.reject(xds.Rejection{View: viewName, Node: "other", Resource: listenerID, Version: "listener", Error: "cannot bind"}); again {
		t.Error("the second proxy's word is news")
	}
	statuses := gatewayapi.Statuses{Gateways: map[source.Key]*gwv1.GatewayStatus{
		{Namespace: "default", Name: "gw"}: {Conditions: []metav1.Condition{
			{Type: "Accepted", Status: metav1.ConditionTrue}, {Type: "Programmed", Status: metav1.ConditionTrue}}},
	}}
	before := statuses.Gateways[source.Key{Namespace: "default", Name: "gw"}]
	f.q.overlay(&statuses)
	after := statuses.Gateways[source.Key{Namespace: "default", Name: "gw"}]
	if c := after.Conditions[1]; c.Status != metav1.ConditionFalse || c.Reason != RejectedByProxy || !strings.Contains(c.Message, "cannot bind") {
		t.Errorf("Programmed is %+v", c)
	}
	if after.Conditions[0].Status != metav1.ConditionTrue || before.Conditions[1].Status != metav1.ConditionTrue {
		t.Error("another condition, or the original, was changed")
	}
	f.objects = objectsOf(newRoute("a", "a2"))
	f.compile()
	if len(f.q.refused) != 1 {
		t.Error("a refusal that stands was forgotten with a change elsewhere")
	}
}

func TestOverlayTellsWhatHappened(t *testing.T) {
	f := newFakeFleet(t, "bad")
	a, b, c := newRoute("a", "a1"), newRoute("b", "b1"), newRoute("c", "c1")
	f.set(a, b)
	f.reply()
	f.set(newRoute("a", "bad.one"), newRoute("b", "b2"), c)
	f.q.reject(xds.Rejection{View: viewName, Resource: tableID, Version: f.version(), Error: "no"})
	statuses := func() gatewayapi.Statuses {
		out := gatewayapi.Statuses{HTTPRoutes: map[source.Key]*gwv1.HTTPRouteStatus{}, InferencePools: map[source.Key]*infv1.InferencePoolStatus{}}
		for _, name := range []string{"a", "b", "c"} {
			status := &gwv1.HTTPRouteStatus{}
			status.Parents = make([]gwv1.RouteParentStatus, 2)
			for i := range status.Parents {
				status.Parents[i].Conditions = []metav1.Condition{{Type: "Accepted", Status: metav1.ConditionTrue, Reason: "Accepted"}}
			}
			out.HTTPRoutes[source.Key{Namespace: "default", Name: name}] = status
		}
		return out
	}
	text := func(s gatewayapi.Statuses, name string) string {
		c := s.HTTPRoutes[source.Key{Namespace: "default", Name: name}].Parents[1].Conditions[0]
		return string(c.Status) + " " + c.Reason + " " + c.Message
	}
	s := statuses()
	f.q.overlay(&s)
	if got := text(s, "a"); !strings.HasPrefix(got, "False "+RejectedByProxy) || !strings.Contains(got, "while it is found out") {
		t.Errorf("a suspect is reported as %s", got)
	}
	f.compile()
	f.settle()
	s = statuses()
	f.q.overlay(&s)
	if got := text(s, "a"); !strings.Contains(got, "refuse this version and the version before it goes on") || !strings.HasSuffix(got, ": something is wrong") {
		t.Errorf("the culprit is reported as %s", got)
	}
	for _, name := range []string{"b", "c"} {
		if got := text(s, name); !strings.HasPrefix(got, "True Accepted") {
			t.Errorf("%s is reported as %s", name, got)
		}
	}
}

func TestQuotes(t *testing.T) {
	object := newRoute("a", "some.example")
	kind := gwv1.PathMatchRegularExpression
	value := "/x[a-z]{300}"
	object.Spec.Rules = []gwv1.HTTPRouteRule{{Matches: []gwv1.HTTPRouteMatch{{Path: &gwv1.HTTPPathMatch{Type: &kind, Value: &value}}}}}
	for message, want := range map[string]bool{
		"regex '/x[a-z]{300}' is too large":   true,
		"domain some.example is there twice":  true,
		"a RegularExpression is wrong here":   false, // the name of a type is in every object that has one
		"regex '/y[a-z]{300}' is too large":   false,
		"the route of HTTPRoute a is refused": false,
	} {
		if got := quotes(message, object); got != want {
			t.Errorf("%q: %v", message, got)
		}
	}
}

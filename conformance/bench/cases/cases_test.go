package cases

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"go.uber.org/goleak"

	"github.com/switchyard/switchyard/conformance/bench/internal/pretend"
	"github.com/switchyard/switchyard/conformance/bench/results"
	"github.com/switchyard/switchyard/conformance/bench/stage"
	"github.com/switchyard/switchyard/conformance/bench/usage"
)

func TestMain(m *testing.M) {
	if err := gatewayv1.Install(scheme.Scheme); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

const testClass = "pretend"

// cluster is an API server's double with an accepted GatewayClass.
func cluster(objects ...client.Object) client.WithWatch {
	class := &gatewayv1.GatewayClass{
		ObjectMeta: metav1.ObjectMeta{Name: testClass},
		Spec:       gatewayv1.GatewayClassSpec{ControllerName: pretend.Controller},
		Status:     gatewayv1.GatewayClassStatus{Conditions: []metav1.Condition{{Type: "Accepted", Status: "True"}}},
	}
	return fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(append(objects, class)...).
		WithStatusSubresource(&gatewayv1.Gateway{}, &gatewayv1.HTTPRoute{}, &appsv1.Deployment{}, class).Build()
}

// small is a benchmark with small numbers.
func small(c client.WithWatch, address string, only ...string) *Bench {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	return &Bench{
		Stage: &stage.Stage{
			Client: c, Namespace: "bench-test", Class: testClass, ListenerPort: 80, Image: "echo", Workers: 2,
			Patience: 30 * time.Second, Log: log,
		},
		Log: log, Only: only, Address: address, Routes: 12, RequestTimeout: 5 * time.Second, Quiet: 50 * time.Millisecond,
		Meter:   usage.Meter{Source: silent{}, Every: time.Millisecond, Patience: time.Second, Now: time.Now},
		RestFor: time.Millisecond,
		Propagation: Propagation{
			Routes: 6, Every: 2 * time.Millisecond, Consecutive: 3, Limit: 20 * time.Second,
		},
		Flips:   Flips{Count: 4, Connections: 2, Every: 300 * time.Millisecond, Bound: 200 * time.Millisecond},
		CleanUp: 30 * time.Second,
	}
}

type silent struct{}

func (silent) Summary(context.Context, string) (usage.Summary, error) {
	return usage.Summary{}, errors.New("no kubelet here")
}

// run measures a control plane that makes the given mistakes.
func run(t *testing.T, mistakes pretend.Mistakes, change func(*Bench), only ...string) *results.Results {
	t.Helper()
	c := cluster()
	plane, err := pretend.Start(t.Context(), c, mistakes)
	if err != nil {
		t.Fatal(err)
	}
	b := small(c, plane.Address(), only...)
	if change != nil {
		change(b)
	}
	r := &results.Results{}
	runErr := b.Run(t.Context(), r)
	if err := plane.Stop(); err != nil {
		t.Fatal(err)
	}
	if runErr != nil {
		t.Fatal(runErr)
	}
	gone(t, c)
	return r
}

// gone checks that nothing is left. The double does not delete what is in a namespace, so only the Gateway is looked for there.
func gone(t *testing.T, c client.Client) {
	t.Helper()
	if err := c.Get(context.Background(), client.ObjectKey{Name: "bench-test"}, &corev1.Namespace{}); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace is still there: %v", err)
	}
	var gateways gatewayv1.GatewayList
	if err := c.List(context.Background(), &gateways); err != nil || len(gateways.Items) > 0 {
		t.Errorf("%d Gateways are still there: %v", len(gateways.Items), err)
	}
}

func TestARightControlPlaneGetsNoBlame(t *testing.T) {
	r := run(t, pretend.Mistakes{}, nil, AttachedCase, PropagationCase, FlipsCase)
	if len(r.Errors) > 0 || r.Controller != pretend.Controller {
		t.Fatalf("controller %q, errors %v", r.Controller, r.Errors)
	}
	a := r.Attached
	if a.Routes != 12 || a.Setup.Routes.Status != 12 || a.Setup.Routes.MostOnOne != 1 || a.Setup.Gateway.Attached == 0 {
		t.Errorf("set-up: %+v", a.Setup)
	}
	if values := a.Setup.Gateway.Values; values[len(values)-1] != 12 {
		t.Errorf("attachedRoutes were %v", values)
	}
	if a.Teardown == nil || a.Teardown.Gateway.Attached == 0 || a.Teardown.Routes.Status != 0 {
		t.Errorf("tear-down: %+v", a.Teardown)
	}
	p := r.Propagation
	if p.Routes != 6 || p.First.Count != 6 || p.Settled.Count != 6 || p.Unanswered != 0 || len(p.Wrong) != 0 || p.NotYetAfterFirst != 0 {
		t.Errorf("propagation: %+v", p)
	}
	f := r.Flips
	if f.Flips != 4 || f.Requests == 0 || len(f.Wrong)+len(f.Mixed)+f.Stale+f.Early+f.Never != 0 || f.FirstNew.Count != 4 {
		t.Errorf("flips: %+v", f)
	}
	var table strings.Builder
	if err := r.Table(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{pretend.Controller, "ATTACHED: 12 routes", "PROPAGATION: 6 new routes, 12 in place", "FLIPS: 4"} {
		if !strings.Contains(strings.ToUpper(table.String()), strings.ToUpper(want)) {
			t.Errorf("the table does not say %q:\n%s", want, table.String())
		}
	}
}

func TestSuperfluousStatusWritesAreCounted(t *testing.T) {
	r := run(t, pretend.Mistakes{TwiceStatus: true}, nil, AttachedCase)
	if len(r.Errors) > 0 {
		t.Fatal(r.Errors)
	}
	if g := r.Attached.Setup.Gateway; g.Status != 2*g.Attached {
		t.Errorf("%d status writes, %d of them of attachedRoutes; every second one was superfluous", g.Status, g.Attached)
	}
}

func TestMistakesOfNewRoutesAreCounted(t *testing.T) {
	mistakes := pretend.Mistakes{
		// Every probed host answers 404, then 503, and 404 again later; the first answer from the backend lacks the header.
		Answer: func(host string, n int) int {
			if !strings.HasSuffix(host, "-route.example.com") {
				return 0
			}
			return map[int]int{0: 404, 1: 503, 4: 404}[n]
		},
		DropHeader: func(host string, n int) bool { return n == 0 },
	}
	r := run(t, mistakes, nil, PropagationCase)
	if len(r.Errors) > 0 {
		t.Fatal(r.Errors)
	}
	p := r.Propagation
	if !maps.Equal(p.Wrong, map[string]int{"503": 6, "200 without the response header": 6}) || p.NotYetAfterFirst > 6 || p.NotYet < 6 {
		t.Errorf("counted %+v", p)
	}
	if p.Settled.P50 <= p.First.P50 && p.NotYetAfterFirst > 0 {
		t.Errorf("settled p50 %v is not later than first p50 %v", p.Settled.P50, p.First.P50)
	}
	if p.First.Count != 6 || p.Unanswered != 0 {
		t.Errorf("%d of 6 routes measured, %d unanswered", p.First.Count, p.Unanswered)
	}
}

func TestLagIsSeenInAllTimes(t *testing.T) {
	const lag = 120 * time.Millisecond
	r := run(t, pretend.Mistakes{Lag: lag}, func(b *Bench) { b.Flips.Bound = 50 * time.Millisecond }, PropagationCase, FlipsCase)
	if len(r.Errors) > 0 {
		t.Fatal(r.Errors)
	}
	least := float64(lag/time.Millisecond) * 0.8
	if r.Propagation.First.Min < least || r.Propagation.NotYet == 0 {
		t.Errorf("propagation took %v ms at least, with a lag of %v", r.Propagation.First.Min, lag)
	}
	if r.Flips.FirstNew.Min < least || r.Flips.LastOld.Min < least*0.8 {
		t.Errorf("flips: first new %v ms, last old %v ms, with a lag of %v", r.Flips.FirstNew.Min, r.Flips.LastOld.Min, lag)
	}
	if r.Flips.Stale == 0 || r.Flips.StaleByMs < 50 {
		t.Errorf("answers up to %v late were not stale after 50 ms: %+v", lag, r.Flips)
	}
}

func TestMistakesUnderLoadAreCounted(t *testing.T) {
	var broken, headless atomic.Int64
	mistakes := pretend.Mistakes{
		Answer: func(host string, n int) int {
			// The first requests make sure that the route is there.
			if host == stage.FlipHost && n > 100 && n%50 == 0 {
				broken.Add(1)
				return []int{500, 503}[broken.Load()%2]
			}
			return 0
		},
		DropHeader: func(host string, n int) bool {
			lost := host == stage.FlipHost && n > 100 && n%70 == 1
			if lost {
				headless.Add(1)
			}
			return lost
		},
	}
	r := run(t, mistakes, nil, FlipsCase)
	if len(r.Errors) > 0 {
		t.Fatal(r.Errors)
	}
	want := map[string]int{"500": int(broken.Load() / 2), "503": int((broken.Load() + 1) / 2)}
	if want["500"] == 0 || !mapsEqualOrdered(r.Flips.Wrong, broken.Load()) {
		t.Errorf("not 200: %v, want %v", r.Flips.Wrong, want)
	}
	if headless.Load() == 0 || int64(r.Flips.Mixed["port-a without the header"]) != headless.Load() {
		t.Errorf("mixed: %v, want %d without the header", r.Flips.Mixed, headless.Load())
	}
}

func mapsEqualOrdered(got map[string]int, broken int64) bool {
	// Odd calls answered 503, even ones 500.
	return maps.Equal(got, map[string]int{"503": int((broken + 1) / 2), "500": int(broken / 2)})
}

func TestEndpointChurnScalesTheBackend(t *testing.T) {
	replicas := make(chan string, 100)
	base := cluster()
	c := interceptor.NewClient(base, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if _, ok := o.(*appsv1.Deployment); ok {
				text, _ := p.Data(o)
				replicas <- string(text)
			}
			return c.Patch(ctx, o, p, opts...)
		},
	})
	plane, err := pretend.Start(t.Context(), base, pretend.Mistakes{})
	if err != nil {
		t.Fatal(err)
	}
	b := small(c, plane.Address(), FlipsCase)
	b.Flips.Churn = 50 * time.Millisecond
	r := &results.Results{}
	if err := errors.Join(b.Run(t.Context(), r), plane.Stop()); err != nil || len(r.Errors) > 0 {
		t.Fatal(err, r.Errors)
	}
	for _, want := range []int{3, 1, 3} {
		if got := <-replicas; got != fmt.Sprintf(`{"spec":{"replicas":%d}}`, want) {
			t.Errorf("scaled with %s, want %d replicas", got, want)
		}
	}
}

func TestAControlPlaneThatAcceptsNoRoutesIsReportedAndClearedAway(t *testing.T) {
	r := run(t, pretend.Mistakes{Deaf: true}, func(b *Bench) {
		b.Stage.Patience, b.Propagation.Limit = 500*time.Millisecond, 100*time.Millisecond
	}, All()...)
	text := strings.Join(r.Errors, "\n")
	for _, want := range []string{"attachedRoutes of Gateway bench-test/bench is 0 and was to become 12", "3 routes never answered right",
		"the route that is to alternate does not answer"} {
		if !strings.Contains(text, want) {
			t.Errorf("errors do not say %q:\n%s", want, text)
		}
	}
	if r.Attached != nil || r.Propagation.Unanswered != 3 || r.Propagation.NotYet == 0 {
		t.Errorf("attached %+v, propagation %+v", r.Attached, r.Propagation)
	}
}

func TestASignalClearsTheStage(t *testing.T) {
	c := cluster()
	plane, err := pretend.Start(t.Context(), c, pretend.Mistakes{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b := small(interceptor.NewClient(c, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if o.GetName() == "app-00007" {
				cancel() // amid the making of the population
			}
			return c.Create(ctx, o, opts...)
		},
		// An API server is not reached with a context that is over.
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return errors.Join(ctx.Err(), c.Delete(context.WithoutCancel(ctx), o, opts...))
		},
	}), plane.Address(), All()...)
	err = b.Run(ctx, &results.Results{})
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "by hand") {
		t.Errorf("want the cancellation alone, got %v", err)
	}
	gone(t, c)
	if err := plane.Stop(); err != nil {
		t.Fatal(err)
	}
}

func TestANamespaceThatExistsIsLeftAlone(t *testing.T) {
	c := cluster(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bench-test"}})
	err := small(c, "127.0.0.1:1", All()...).Run(t.Context(), &results.Results{})
	if err == nil || !strings.Contains(err.Error(), "--namespace") {
		t.Errorf("want an error that says what to change, got %v", err)
	}
	if err := c.Get(t.Context(), client.ObjectKey{Name: "bench-test"}, &corev1.Namespace{}); err != nil {
		t.Errorf("the namespace of somebody else: %v", err)
	}
}

func TestAGatewayClassThatIsNotThereIsNamedWithThoseThatAre(t *testing.T) {
	b := small(cluster(), "127.0.0.1:1", All()...)
	b.Stage.Class = "missing"
	err := b.Run(t.Context(), &results.Results{})
	if err == nil || !strings.Contains(err.Error(), "--gateway-class") || !strings.Contains(err.Error(), testClass) {
		t.Errorf("got %v", err)
	}
}

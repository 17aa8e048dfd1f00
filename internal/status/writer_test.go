package status

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

const writesGateway = "patch status Gateway g"

func TestSingleChangeIsWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, gatewayObject("g"))
		b.run()
		pass(time.Second)
		b.writer.Want(b.see(), oneGateway(gatewayStatus(1, 3)))
		synctest.Wait()
		if r := b.sent(); len(r) != 1 || r[0].at != time.Second {
			t.Fatalf("the API server got %v, want one request after 1 s", r)
		}
		got := b.gateway("g").Status
		if got.Listeners[0].AttachedRoutes != 3 || got.Conditions[0].Type != "Accepted" {
			t.Errorf("the status is %+v", got)
		}
		if at := got.Conditions[0].LastTransitionTime; !at.Equal(ptr(metav1.Now())) {
			t.Errorf("the transition is at %v, want now", at)
		}
	})
}

func ptr[T any](v T) *T { return &v }

// A Gateway gets 1 000 routes within 10 s, and the source sees each write a little late.
func TestThousandIncrementsAreFewWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, gatewayObject("g"), gatewayObject("calm"))
		b.run()
		seen := b.see()
		for i := range int32(1000) {
			statuses := map[string]*gwv1.GatewayStatus{"g": gatewayStatus(1, i+1), "calm": gatewayStatus(1, 0)}
			if i >= 500 {
				statuses["calm"] = gatewayStatus(1, 7)
			}
			b.writer.Want(seen, gatewayStatuses(statuses))
			pass(10 * time.Millisecond)
			if i%7 == 0 {
				seen = b.see()
			}
			if i == 500 && b.gateway("calm").Status.Listeners[0].AttachedRoutes != 7 {
				t.Error("the change of another Gateway waited for the busy one")
			}
		}
		pass(longestPause)
		if got := b.gateway("g").Status.Listeners[0].AttachedRoutes; got != 1000 {
			t.Errorf("attachedRoutes is %d in the end, want 1000", got)
		}
		writes := 0
		for _, r := range b.sent() {
			if r.verb == "get" {
				t.Errorf("a read after a conflict at %v: nobody else wrote", r.at)
			}
			if r.name == "g" {
				writes++
			}
		}
		if writes > 20 || writes < 5 {
			t.Errorf("%d writes of one Gateway, want 5 to 20", writes)
		}
	})
}

// An API server that is slow to answer is not taken for a quiet object.
func TestThousandIncrementsAreFewWritesOfASlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, gatewayObject("g"))
		b.run()
		b.answerWith(func(string, client.Object) error {
			time.Sleep(250 * time.Millisecond)
			return nil
		})
		for i := range int32(1000) {
			b.writer.Want(b.see(), oneGateway(gatewayStatus(1, i+1)))
			pass(10 * time.Millisecond)
		}
		pass(2 * longestPause)
		if got := b.gateway("g").Status.Listeners[0].AttachedRoutes; got != 1000 {
			t.Errorf("attachedRoutes is %d in the end, want 1000", got)
		}
		if n := len(b.sent()); n > 12 {
			t.Errorf("%d writes, want 12 at most", n)
		}
	})
}

func TestPauseIsShortAgainAfterAQuietWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, gatewayObject("g"))
		b.run()
		for i := range int32(500) {
			b.writer.Want(b.see(), oneGateway(gatewayStatus(1, i)))
			pass(10 * time.Millisecond)
		}
		pass(3 * longestPause)
		for i := range int32(2) {
			before := len(b.sent())
			b.writer.Want(b.see(), oneGateway(gatewayStatus(1, 1000+i)))
			synctest.Wait()
			if got := len(b.sent()) - before; got != 1 {
				t.Errorf("change %d was written %d times at once, want 1", i, got)
			}
			pass(firstPause)
		}
	})
}

func TestNothingIsWrittenTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, gatewayObject("g"))
		b.run()
		old := b.see()
		b.writer.Want(old, oneGateway(gatewayStatus(1, 3)))
		pass(time.Second)
		b.expectSent(writesGateway)

		b.writer.Want(old, oneGateway(gatewayStatus(1, 3))) // the source has not seen the write yet
		pass(time.Second)
		b.expectSent()
		b.writer.Want(old, oneGateway(gatewayStatus(1, 4))) // still the old object, and a new value
		pass(time.Second)
		b.expectSent(writesGateway)
		b.writer.Want(b.see(), oneGateway(gatewayStatus(1, 4)))
		pass(time.Hour)
		b.writer.Want(b.see(), oneGateway(gatewayStatus(1, 4)))
		pass(time.Second)
		b.expectSent()
		if got := b.gateway("g").Status.Listeners[0].AttachedRoutes; got != 4 {
			t.Errorf("attachedRoutes is %d, want 4", got)
		}
	})
}

func TestWantIsNotChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gatewayObject("g")
		g.Status = *gatewayStatus(1, 1)
		g.Status.Conditions = append(g.Status.Conditions, condition("example.com/Theirs", metav1.ConditionTrue, 1))
		b := newBed(t, g)
		b.run()
		objects, statuses := b.see(), oneGateway(gatewayStatus(1, 3))
		object, _ := objects.Gateways.Get("ns", "g")
		object = object.DeepCopy()
		b.writer.Want(objects, statuses)
		pass(time.Second)
		b.expectSent(writesGateway)
		if now, _ := objects.Gateways.Get("ns", "g"); !equality.Semantic.DeepEqual(now, object) {
			t.Errorf("the object of the source was changed to %+v", now)
		}
		if !equality.Semantic.DeepEqual(statuses, oneGateway(gatewayStatus(1, 3))) {
			t.Errorf("the wanted status was changed to %+v", statuses)
		}
	})
}

func TestRequestsInFlightAreBoundedAndGatewaysDoNotQueueBehindRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects := []client.Object{gatewayObject("g")}
		statuses := oneGateway(gatewayStatus(1, 3))
		statuses.HTTPRoutes = map[source.Key]*gwv1.HTTPRouteStatus{}
		for i := range 100 {
			name := fmt.Sprint("r", i)
			objects = append(objects, routeObject(name))
			statuses.HTTPRoutes[key(name)] = routeStatuses(routeParent(ours, "g", condition("Accepted", metav1.ConditionTrue, 1)))
		}
		b := newBed(t, objects...)
		b.run()
		var now, most atomic.Int32
		b.answerWith(func(string, client.Object) error {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			now.Add(-1)
			return nil
		})
		seen := b.see()
		b.writer.Want(seen, gatewayapi.Statuses{HTTPRoutes: statuses.HTTPRoutes})
		pass(1500 * time.Millisecond)
		b.writer.Want(seen, statuses)
		pass(time.Second)
		if requests := b.sent(); requests[len(requests)-1].at != 2*time.Second || !hasGateway(requests) {
			t.Errorf("the Gateway waits behind routes: %v", requests)
		}
		pass(time.Minute)
		if got := most.Load(); got != maxInFlight {
			t.Errorf("%d requests at a time, want %d", got, maxInFlight)
		}
		b.expectCount("HTTPRoute", "written", 100)
	})
}

func hasGateway(requests []request) bool {
	for _, r := range requests {
		if r.kind == "Gateway" {
			return true
		}
	}
	return false
}

func TestRequestsPerSecondAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var objects []client.Object
		statuses := gatewayapi.Statuses{HTTPRoutes: map[source.Key]*gwv1.HTTPRouteStatus{}}
		const n = requestBurst + 3*requestsPerSecond
		for i := range n {
			name := fmt.Sprint("r", i)
			objects = append(objects, routeObject(name))
			statuses.HTTPRoutes[key(name)] = routeStatuses(routeParent(ours, "g", condition("Accepted", metav1.ConditionTrue, 1)))
		}
		b := newBed(t, objects...)
		b.run()
		b.writer.Want(b.see(), statuses)
		pass(time.Second)
		if got := len(b.sent()); got < requestsPerSecond || got > requestBurst+requestsPerSecond+1 {
			t.Errorf("%d requests in the first second", got)
		}
		pass(3 * time.Second)
		b.expectCount("HTTPRoute", "written", n)
	})
}

func TestRunFollowsLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, gatewayObject("g"))
		b.writer.Want(b.see(), oneGateway(gatewayStatus(1, 1)))
		b.writer.Want(b.see(), oneGateway(gatewayStatus(1, 2)))
		pass(time.Second)
		b.expectSent()

		b.run()
		synctest.Wait()
		b.expectSent(writesGateway)
		if got := b.gateway("g").Status.Listeners[0].AttachedRoutes; got != 2 {
			t.Errorf("attachedRoutes is %d, want that of the last Want", got)
		}
		if err := b.writer.Run(context.Background()); err == nil {
			t.Error("a second Run was not refused")
		}
		b.stop()
		b.writer.Want(b.see(), oneGateway(gatewayStatus(1, 3)))
		pass(time.Second)
		b.expectSent()
		b.run()
		synctest.Wait()
		b.expectSent(writesGateway)
	})
}

func TestNextLeadershipWritesWhatTheLastCouldNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, gatewayObject("g"))
		b.answerWith(func(string, client.Object) error { return context.DeadlineExceeded })
		b.writer.Want(b.see(), oneGateway(gatewayStatus(1, 1)))
		b.run()
		synctest.Wait()
		b.stop()
		b.answerWith(nil)
		pass(time.Minute)
		b.expectSent(writesGateway)
		b.run()
		synctest.Wait()
		b.expectSent(writesGateway)
	})
}

func TestRunWaitsForRequestsInFlight(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, gatewayObject("g"))
		release := make(chan struct{})
		b.answerWith(func(string, client.Object) error {
			<-release
			return context.Canceled
		})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- b.writer.Run(ctx) }()
		b.writer.Want(b.see(), oneGateway(gatewayStatus(1, 1)))
		synctest.Wait()
		cancel()
		synctest.Wait()
		if len(ended) > 0 {
			t.Error("Run ended before its request")
		}
		close(release)
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
		b.expectSent(writesGateway)
	})
}

func TestRunLeavesNoGoroutine(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	b := newBed(t, gatewayObject("g"))
	asked := make(chan struct{})
	b.answerWith(func(string, client.Object) error {
		close(asked)
		return nil
	})
	b.run()
	b.writer.Want(b.see(), oneGateway(gatewayStatus(1, 1)))
	<-asked
	b.stop()
}

func TestLatencyIsCountedFromWant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, gatewayObject("g"))
		b.answerWith(func(string, client.Object) error {
			time.Sleep(250 * time.Millisecond)
			return nil
		})
		b.writer.Want(b.see(), oneGateway(gatewayStatus(1, 1)))
		time.Sleep(500 * time.Millisecond)
		b.run()
		pass(time.Second)
		families, err := b.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() != "switchyard_status_write_latency_seconds" {
				continue
			}
			if h := f.GetMetric()[0].GetHistogram(); h.GetSampleCount() != 1 || h.GetSampleSum() != 0.75 {
				t.Errorf("%d writes in %v s, want 1 in 0.75 s", h.GetSampleCount(), h.GetSampleSum())
			}
			return
		}
		t.Error("there is no histogram")
	})
}

func (b *bed) count(kind, outcome string) int {
	b.t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "switchyard_status_writes_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == kind && m.GetLabel()[1].GetValue() == outcome {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	b.t.Fatalf("no series for %s %s", kind, outcome)
	return 0
}

func (b *bed) expectCount(kind, outcome string, want int) {
	b.t.Helper()
	if got := b.count(kind, outcome); got != want {
		b.t.Errorf("%d of kind %s are counted as %s, want %d", got, kind, outcome, want)
	}
}

package status

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

// Another controller writes its entry after the source has looked, and no Want follows.
func TestConflictIsMergedWithTheLiveObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, routeObject("r"))
		b.run()
		old := b.see()
		r := b.route("r")
		r.Status.Parents = []gwv1.RouteParentStatus{routeParent(theirs, "x", condition("Accepted", metav1.ConditionTrue, 1))}
		if err := b.server.Status().Update(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		wanted := gatewayapi.Statuses{HTTPRoutes: map[source.Key]*gwv1.HTTPRouteStatus{
			key("r"): routeStatuses(routeParent(ours, "g", condition("Accepted", metav1.ConditionTrue, 1))),
		}}
		b.writer.Want(old, wanted)
		pass(time.Second)
		b.expectSent("patch status HTTPRoute r", "get HTTPRoute r", "patch status HTTPRoute r")
		got := b.route("r").Status.Parents
		if len(got) != 2 || got[0].ControllerName != theirs || got[1].ControllerName != ours {
			t.Errorf("parents are %+v, want theirs and ours", got)
		}
		b.writer.Want(old, wanted)
		pass(time.Second)
		b.expectSent()
		if b.logged("level=WARN") > 0 {
			t.Error("a conflict is nothing to warn about")
		}
	})
}

func TestNewerObjectFromTheSourceSparesTheRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, gatewayObject("g"))
		b.run()
		old := b.see()
		b.edit("g", func(g *gwv1.Gateway) { g.Labels = map[string]string{"a": "b"} })
		b.writer.Want(old, oneGateway(gatewayStatus(1, 3)))
		synctest.Wait()
		b.expectSent(writesGateway)
		b.writer.Want(b.see(), oneGateway(gatewayStatus(1, 3)))
		synctest.Wait()
		b.expectSent(writesGateway)
		pass(time.Minute)
		b.expectSent()
	})
}

func (b *bed) edit(name string, change func(*gwv1.Gateway)) {
	b.t.Helper()
	g := b.gateway(name)
	change(g)
	if err := b.server.Update(context.Background(), g); err != nil {
		b.t.Fatal(err)
	}
}

// The spec was changed after the source has looked: what was made from the old one must not be written.
func TestConflictWithANewGenerationWaitsForTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, gatewayObject("g"))
		b.run()
		old := b.see()
		b.edit("g", func(g *gwv1.Gateway) { g.Generation = 2 })
		b.writer.Want(old, oneGateway(gatewayStatus(1, 3)))
		pass(10 * time.Second)
		b.expectSent(writesGateway, "get Gateway g")
		if got := b.gateway("g").Status; len(got.Conditions) != 0 {
			t.Fatalf("a status for an old generation was written: %+v", got)
		}
		b.writer.Want(b.see(), oneGateway(gatewayStatus(2, 3)))
		synctest.Wait()
		b.expectSent(writesGateway)
		if got := b.gateway("g").Status.Conditions[0].ObservedGeneration; got != 2 {
			t.Errorf("observedGeneration is %d, want 2", got)
		}
	})
}

func TestErrorsAreRetriedWithGrowingPausesAndHoldNobodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, gatewayObject("g"), gatewayObject("other"))
		b.run()
		var broken atomic.Bool
		broken.Store(true)
		b.answerWith(func(_ string, o client.Object) error {
			if o.GetName() == "g" && broken.Load() {
				return apierrors.NewInvalid(schema.GroupKind{Kind: "Gateway"}, "g", nil)
			}
			return nil
		})
		b.writer.Want(b.see(), gatewayStatuses(map[string]*gwv1.GatewayStatus{"g": gatewayStatus(1, 3), "other": gatewayStatus(1, 4)}))
		pass(time.Minute)
		var attempts []time.Duration
		for _, r := range b.sent() {
			if r.name == "g" {
				attempts = append(attempts, r.at)
			} else if r.at != 0 {
				t.Errorf("the other Gateway was written at %v only", r.at)
			}
		}
		if n := len(attempts); n < 8 || n > 14 {
			t.Fatalf("%d attempts in a minute at %v, want 8 to 14", n, attempts)
		}
		if gap := attempts[6] - attempts[5]; gap < firstRetry<<4 || gap > firstRetry<<5 {
			t.Errorf("the pause after six failures is %v", gap)
		}
		if n := b.logged("level=WARN"); n != 1 {
			t.Errorf("%d warnings, want 1", n)
		}
		b.answerWith(func(_ string, o client.Object) error {
			if o.GetName() == "g" && broken.Load() {
				return errors.New("no route to host")
			}
			return nil
		})
		pass(time.Minute)
		if n := b.logged("level=WARN"); n != 2 {
			t.Errorf("%d warnings after another cause, want 2", n)
		}
		broken.Store(false)
		pass(longestRetry)
		if got := b.gateway("g").Status.Listeners; len(got) != 1 || got[0].AttachedRoutes != 3 {
			t.Errorf("listeners are %+v when the error is gone", got)
		}
		b.expectCount("Gateway", "written", 2)
		if b.count("Gateway", "refused") < 6 || b.count("Gateway", "failed") < 1 {
			t.Error("failures are not counted")
		}
	})
}

func TestEditedObjectIsTriedAtOnceAfterErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, gatewayObject("g"))
		b.run()
		b.answerWith(func(string, client.Object) error { return apierrors.NewInvalid(schema.GroupKind{}, "g", nil) })
		b.writer.Want(b.see(), oneGateway(gatewayStatus(1, 3)))
		pass(5 * time.Minute)
		b.answerWith(nil)
		b.edit("g", func(g *gwv1.Gateway) { g.Generation = 2 })
		before := len(b.sent())
		b.writer.Want(b.see(), oneGateway(gatewayStatus(2, 3)))
		synctest.Wait()
		if got := len(b.sent()) - before; got != 1 {
			t.Errorf("%d writes at once, want 1", got)
		}
	})
}

func TestDeletedObjectIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, gatewayObject("g"))
		b.run()
		old := b.see()
		if err := b.server.Delete(context.Background(), b.gateway("g")); err != nil {
			t.Fatal(err)
		}
		for i := range int32(5) {
			b.writer.Want(old, oneGateway(gatewayStatus(1, i)))
			pass(time.Second)
		}
		b.expectSent(writesGateway)
		b.writer.Want(b.see(), gatewayapi.Statuses{})
		again := gatewayObject("g")
		again.UID = "another"
		if err := b.server.Create(context.Background(), again); err != nil {
			t.Fatal(err)
		}
		b.writer.Want(b.see(), oneGateway(gatewayStatus(1, 9)))
		synctest.Wait()
		b.expectSent(writesGateway)
		if b.logged("level=WARN") > 0 {
			t.Error("a deleted object is nothing to warn about")
		}
	})
}

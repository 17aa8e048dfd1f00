package writes

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if err := gatewayv1.Install(scheme.Scheme); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

var (
	quietLog = slog.New(slog.NewTextHandler(io.Discard, nil))
	key      = client.ObjectKey{Namespace: "ns", Name: "gw"}
)

func double(objects ...client.Object) client.WithWatch {
	return fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).
		WithStatusSubresource(&gatewayv1.Gateway{}, &gatewayv1.HTTPRoute{}).Build()
}

func gateway(name string) *gatewayv1.Gateway {
	return &gatewayv1.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func attach(t *testing.T, c client.Client, g *gatewayv1.Gateway, routes int32, message string) {
	t.Helper()
	g.Status.Listeners = []gatewayv1.ListenerStatus{{Name: "http", AttachedRoutes: routes}}
	g.Status.Conditions = []metav1.Condition{{Type: "Programmed", Status: "True", Message: message}}
	if err := c.Status().Update(t.Context(), g); err != nil {
		t.Fatal(err)
	}
}

func TestGatewayWritesAreCountedByWhatTheyChange(t *testing.T) {
	mine, other := gateway("gw"), gateway("other")
	c := double(mine, other)
	g, err := WatchGateway(t.Context(), c, key, quietLog)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	attach(t, c, mine, 3, "")
	attach(t, c, mine, 3, "the same routes, other words")
	attach(t, c, other, 9, "")
	mine.Labels = map[string]string{"not": "status"}
	if err := c.Update(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	attach(t, c, mine, 7, "")

	at, err := g.Await(limited(t), 7)
	if err != nil || at.Before(begin) || at.After(time.Now()) {
		t.Errorf("7 routes at %v, %v", at, err)
	}
	counts := g.Stop()
	if counts.Status != 3 || counts.Attached != 2 || !slices.Equal(counts.Values, []int32{3, 7}) || counts.Interruptions != 0 {
		t.Errorf("counted %+v, want 3 writes, 2 of them of attachedRoutes", counts)
	}
}

func TestAwaitEndsWithItsContextAndTellsTheCount(t *testing.T) {
	mine := gateway("gw")
	c := double(mine)
	attach(t, c, mine, 4, "")
	g, err := WatchGateway(t.Context(), c, key, quietLog)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Stop()
	if at, err := g.Await(limited(t), 4); err != nil || !at.IsZero() {
		t.Errorf("what was there before has an instant, %v, or an error, %v", at, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = g.Await(ctx, 5)
	if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "attachedRoutes of Gateway ns/gw is 4 and was to become 5: context deadline exceeded" {
		t.Errorf("got %v", err)
	}
}

func accept(t *testing.T, c client.Client, name string, message string) {
	t.Helper()
	r := &gatewayv1.HTTPRoute{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: name}, r); err != nil {
		t.Fatal(err)
	}
	r.Status.Parents = []gatewayv1.RouteParentStatus{{
		ParentRef:  gatewayv1.ParentReference{Name: "gw"},
		Conditions: []metav1.Condition{{Type: "Accepted", Status: "True", Message: message}},
	}}
	if err := c.Status().Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func TestRouteWritesAreCountedForEachRoute(t *testing.T) {
	route := func(name string) *gatewayv1.HTTPRoute {
		return &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
	}
	c := double(route("old"))
	accept(t, c, "old", "before the watch")
	r, err := WatchRoutes(t.Context(), c, "ns", quietLog)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.AwaitAccepted(limited(t), 1); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if err := c.Create(t.Context(), route(name)); err != nil {
			t.Fatal(err)
		}
		accept(t, c, name, "")
	}
	accept(t, c, "b", "other words")
	if _, err := r.AwaitAccepted(limited(t), 3); err != nil {
		t.Error(err)
	}
	if err := c.Delete(t.Context(), route("a")); err != nil {
		t.Fatal(err)
	}
	if err := r.Quiet(limited(t), 50*time.Millisecond); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.AwaitAccepted(ctx, 3); err == nil {
		t.Error("a deleted route is still counted as accepted")
	}
	if counts := r.Stop(); counts.Status != 3 || counts.MostOnOne != 2 {
		t.Errorf("counted %+v, want 3 writes, 2 of them on b", counts)
	}
}

// TestABrokenWatchIsOpenedAgainAndConfessed: the writes during the gap are one difference, and the counts say that they are uncertain.
func TestABrokenWatchIsOpenedAgainAndConfessed(t *testing.T) {
	mine := gateway("gw")
	base := double(mine)
	var opened atomic.Int64
	var version atomic.Value
	first := watch.NewFake()
	c := interceptor.NewClient(base, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			err := c.List(ctx, list, opts...)
			list.SetResourceVersion("77")
			return err
		},
		Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
			var o client.ListOptions
			o.ApplyOptions(opts)
			version.Store(o.Raw.ResourceVersion)
			switch opened.Add(1) {
			case 1:
				return first, nil
			case 2:
				attach(t, base, mine, 6, "a write while the watch was broken")
				return nil, errors.New("not yet")
			}
			return c.Watch(ctx, list, opts...)
		},
	})
	g, err := WatchGateway(t.Context(), c, key, quietLog)
	if err != nil {
		t.Fatal(err)
	}
	first.Error(&metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonTimeout, Message: "too large resource version"})
	if _, err := g.Await(limited(t), 6); err != nil {
		t.Fatal(err)
	}
	if err := g.Quiet(limited(t), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	counts := g.Stop()
	if counts.Interruptions != 1 || counts.Attached != 1 {
		t.Errorf("counted %+v, want the write and one interruption", counts)
	}
	if version.Load() != "77" {
		t.Errorf("watched from version %q, the list had 77", version.Load())
	}
}

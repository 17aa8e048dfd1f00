package status

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

const (
	ours   = gatewayapi.ControllerName
	theirs = "example.com/other"
)

// request is one that the API server got, and when, counted from the start of the bed.
type request struct {
	verb, kind, name string
	at               time.Duration
}

// bed is a writer, a server in memory, and the source's view of it, in a bubble of simulated time.
type bed struct {
	t        *testing.T
	server   client.WithWatch // as others use it: not recorded
	writer   *Writer
	registry *prometheus.Registry
	start    time.Time
	stop     func()

	mu       sync.Mutex
	log      bytes.Buffer
	requests []request
	// answer may fail or delay a request of the writer; nil lets it pass.
	answer func(verb string, object client.Object) error
}

func (b *bed) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

func (b *bed) logged(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.log.String(), text)
}

func newScheme(t testing.TB) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{gwv1.Install, infv1.Install, llmd.Install} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

// newBed makes a bed with the objects on its server; nothing runs yet.
func newBed(t *testing.T, objects ...client.Object) *bed {
	t.Helper()
	b := &bed{t: t, registry: prometheus.NewRegistry(), start: time.Now()}
	b.server = fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(objects...).
		WithStatusSubresource(&gwv1.GatewayClass{}, &gwv1.Gateway{}, &gwv1.HTTPRoute{}, &infv1.InferencePool{},
			&llmd.InferenceObjective{}, &llmd.InferenceModelRewrite{}, &llmd.OlderInferenceObjective{}, &llmd.OlderInferenceModelRewrite{}).Build()
	b.writer = New(Options{
		Client: interceptor.NewClient(b.server, interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				o.SetName(key.Name)
				if err := b.record("get", o); err != nil {
					return err
				}
				return c.Get(ctx, key, o, opts...)
			},
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				if err := b.record("patch "+sub, o); err != nil {
					return err
				}
				return c.SubResource(sub).Patch(ctx, o, p, opts...)
			},
		}),
		Registerer: b.registry,
		Log:        slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	return b
}

func (b *bed) record(verb string, o client.Object) error {
	b.mu.Lock()
	b.requests = append(b.requests, request{verb, typeName(o), o.GetName(), time.Since(b.start)})
	answer := b.answer
	b.mu.Unlock()
	if answer != nil {
		return answer(verb, o)
	}
	return nil
}

func typeName(o client.Object) string {
	switch o.(type) {
	case *gwv1.GatewayClass:
		return "GatewayClass"
	case *gwv1.Gateway:
		return "Gateway"
	case *gwv1.HTTPRoute:
		return "HTTPRoute"
	case *infv1.InferencePool:
		return "InferencePool"
	case *llmd.InferenceObjective:
		return "InferenceObjective"
	case *llmd.OlderInferenceObjective:
		return "older InferenceObjective"
	case *llmd.InferenceModelRewrite:
		return "InferenceModelRewrite"
	case *llmd.OlderInferenceModelRewrite:
		return "older InferenceModelRewrite"
	}
	return "?"
}

// run starts the writer; stop ends it and waits.
func (b *bed) run() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.writer.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("Run ended with %v", err)
		}
	})
	b.t.Cleanup(b.stop)
}

// see gives the objects as they are on the server now.
func (b *bed) see() *source.Objects {
	b.t.Helper()
	var (
		classes  gwv1.GatewayClassList
		gateways gwv1.GatewayList
		routes   gwv1.HTTPRouteList
		pools    infv1.InferencePoolList

		objectives      llmd.InferenceObjectiveList
		olderObjectives llmd.OlderInferenceObjectiveList
		rewrites        llmd.InferenceModelRewriteList
		olderRewrites   llmd.OlderInferenceModelRewriteList
	)
	for _, list := range []client.ObjectList{&classes, &gateways, &routes, &pools, &objectives, &olderObjectives, &rewrites, &olderRewrites} {
		if err := b.server.List(context.Background(), list); err != nil {
			b.t.Fatal(err)
		}
	}
	return &source.Objects{
		GatewayClasses: setOf(classes.Items), Gateways: setOf(gateways.Items),
		HTTPRoutes: setOf(routes.Items), InferencePools: setOf(pools.Items),
		InferenceObjectives: setOf(objectives.Items), OlderInferenceObjectives: setOf(olderObjectives.Items),
		InferenceModelRewrites: setOf(rewrites.Items), OlderInferenceModelRewrites: setOf(olderRewrites.Items),
	}
}

func setOf[T any, O interface {
	*T
	metav1.Object
}](items []T) source.Set[O] {
	var out []O
	for i := range items {
		out = append(out, &items[i])
	}
	return source.NewSet(out...)
}

// pass lets simulated time go by, and everything that happens in it.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bed) sent() []request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.requests)
}

// expectSent checks the requests since the last call, as "verb Kind name".
func (b *bed) expectSent(want ...string) {
	b.t.Helper()
	var got []string
	for _, r := range b.sent() {
		got = append(got, r.verb+" "+r.kind+" "+r.name)
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("the API server got %q, want %q", got, want)
	}
	b.mu.Lock()
	b.requests = nil
	b.mu.Unlock()
}

func (b *bed) answerWith(f func(verb string, object client.Object) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = f
}

func (b *bed) gateway(name string) *gwv1.Gateway {
	b.t.Helper()
	var g gwv1.Gateway
	if err := b.server.Get(context.Background(), client.ObjectKey{Namespace: "ns", Name: name}, &g); err != nil {
		b.t.Fatal(err)
	}
	return &g
}

func (b *bed) route(name string) *gwv1.HTTPRoute {
	b.t.Helper()
	var r gwv1.HTTPRoute
	if err := b.server.Get(context.Background(), client.ObjectKey{Namespace: "ns", Name: name}, &r); err != nil {
		b.t.Fatal(err)
	}
	return &r
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "ns", Name: name, Generation: 1, UID: types.UID("uid-" + name)}
}

func gatewayObject(name string) *gwv1.Gateway { return &gwv1.Gateway{ObjectMeta: meta(name)} }
func routeObject(name string) *gwv1.HTTPRoute { return &gwv1.HTTPRoute{ObjectMeta: meta(name)} }

func key(name string) source.Key { return source.Key{Namespace: "ns", Name: name} }

func condition(kind string, status metav1.ConditionStatus, generation int64) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: "Because", Message: "so it is", ObservedGeneration: generation}
}

// gatewayStatus is one of a Gateway with one listener and so many routes.
func gatewayStatus(generation int64, attached int32) *gwv1.GatewayStatus {
	return &gwv1.GatewayStatus{
		Conditions: []metav1.Condition{condition("Accepted", metav1.ConditionTrue, generation)},
		Listeners: []gwv1.ListenerStatus{{
			Name: "http", AttachedRoutes: attached,
			SupportedKinds: []gwv1.RouteGroupKind{{Kind: "HTTPRoute"}},
			Conditions:     []metav1.Condition{condition("Accepted", metav1.ConditionTrue, generation)},
		}},
	}
}

func gatewayStatuses(of map[string]*gwv1.GatewayStatus) gatewayapi.Statuses {
	out := gatewayapi.Statuses{Gateways: map[source.Key]*gwv1.GatewayStatus{}}
	for name, s := range of {
		out.Gateways[key(name)] = s
	}
	return out
}

func oneGateway(s *gwv1.GatewayStatus) gatewayapi.Statuses {
	return gatewayStatuses(map[string]*gwv1.GatewayStatus{"g": s})
}

func routeParent(controller, gateway string, conditions ...metav1.Condition) gwv1.RouteParentStatus {
	return gwv1.RouteParentStatus{
		ParentRef:      gwv1.ParentReference{Name: gwv1.ObjectName(gateway)},
		ControllerName: gwv1.GatewayController(controller),
		Conditions:     conditions,
	}
}

func routeStatuses(parents ...gwv1.RouteParentStatus) *gwv1.HTTPRouteStatus {
	return &gwv1.HTTPRouteStatus{RouteStatus: gwv1.RouteStatus{Parents: parents}}
}

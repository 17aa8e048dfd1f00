package kubernetes

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/identity"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

const controller = "switchyard.dev/gateway-controller"

// bed is a cluster in memory and one leader's term on it.
type bed struct {
	t      *testing.T
	client client.WithWatch
	clock  *clocktesting.FakeClock
	events *events.FakeRecorder
	term   *term
	stop   func()

	mu     sync.Mutex
	ca     *identity.CA
	applys int
	handed []int64                       // replicas that were handed over to an autoscaler
	refuse func(kind, name string) error // what the API server says to an apply
}

func newBed(t *testing.T) *bed {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	b := &bed{t: t, clock: clocktesting.NewFakeClock(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)), events: events.NewFakeRecorder(100)}
	b.ca = b.newCA()
	b.client = interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme.Scheme).WithReturnManagedFields().Build(), interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			u := o.(interface {
				GetKind() string
				GetName() string
				UnstructuredContent() map[string]any
			})
			options := (&client.ApplyOptions{}).ApplyOptions(opts)
			b.mu.Lock()
			b.applys++
			if options.FieldManager == handOver {
				n, _, err := unstructured.NestedInt64(u.UnstructuredContent(), "spec", "replicas")
				if err != nil {
					t.Error(err)
				}
				b.handed = append(b.handed, n)
			}
			refuse := b.refuse
			b.mu.Unlock()
			if refuse != nil {
				if err := refuse(u.GetKind(), u.GetName()); err != nil {
					return err
				}
			}
			return c.Apply(ctx, o, opts...)
		},
	})
	b.start("registry.example/switchyard:1")
	return b
}

// start begins a term of a control plane of that image, after the one before has ended.
func (b *bed) start(image string) {
	b.t.Helper()
	if b.stop != nil {
		b.stop()
	}
	r, err := New(Options{
		Client: b.client, Controller: controller, Image: image, XDSHost: "cp.example", XDSPort: 18000,
		CA:     func() *identity.CA { b.mu.Lock(); defer b.mu.Unlock(); return b.ca },
		Events: b.events, Clock: b.clock, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.term = newTerm(r)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func(t *term) { done <- t.run(ctx) }(b.term)
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(b.stop)
}

func (b *bed) newCA() *identity.CA {
	b.t.Helper()
	ca, err := identity.NewCA(b.clock.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	return ca
}

// want asks for fleets, in a cluster in which the Gateways named exist: those with a fleet, and others.
func (b *bed) want(class string, gateways ...*model.Gateway) {
	b.wantWithOthers(class, gateways)
}

func (b *bed) wantWithOthers(class string, gateways []*model.Gateway, others ...string) {
	objects := &source.Objects{GatewayClasses: source.NewSet(
		&gwv1.GatewayClass{ObjectMeta: metav1.ObjectMeta{Name: "ours"}, Spec: gwv1.GatewayClassSpec{ControllerName: controller}},
		&gwv1.GatewayClass{ObjectMeta: metav1.ObjectMeta{Name: "theirs"}, Spec: gwv1.GatewayClassSpec{ControllerName: "example.com/other"}},
	)}
	for _, gw := range gateways {
		others = append(others, gw.Key.Name)
	}
	for _, name := range others {
		objects.Gateways = objects.Gateways.With(&gwv1.Gateway{
			ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: uidOf(name)},
			Spec:       gwv1.GatewaySpec{GatewayClassName: gwv1.ObjectName(class)},
		})
	}
	b.term.Want(gateways, objects)
}

func uidOf(name string) types.UID { return types.UID("uid-of-" + name) }

// get reads an object of a Gateway's fleet, nil when there is none.
func get[T client.Object](b *bed, gateway string, empty T) (T, bool) {
	b.t.Helper()
	err := b.client.Get(context.Background(), client.ObjectKey{Namespace: "team", Name: model.FleetName(gateway)}, empty)
	if err != nil && !apierrors.IsNotFound(err) {
		b.t.Fatal(err)
	}
	return empty, err == nil
}

func (b *bed) exists(gateway string, k kindOf) bool {
	_, ok := get(b, gateway, k.empty())
	return ok
}

func (b *bed) complete(gateway string) bool {
	for _, k := range kinds {
		if k.kind != autoscalerKind.kind && !b.exists(gateway, k) {
			return false
		}
	}
	return true
}

func (b *bed) eventually(what string, holds func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			b.t.Fatalf("not within 10 s: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// settled waits until nothing is queued or worked on, and gives the number of writes so far.
func (b *bed) settled(gateway string, kinds ...string) int {
	b.t.Helper()
	key := source.Key{Namespace: "team", Name: gateway}
	b.eventually("everything is known of "+gateway, func() bool {
		s := b.term.state(key)
		if s == nil || b.term.queue.Len() > 0 {
			return false
		}
		for _, kind := range append(kinds, "ServiceAccount", "ConfigMap", "PodDisruptionBudget", "Deployment", "Secret", "HorizontalPodAutoscaler") {
			if _, ok := s.record(kind); !ok {
				return false
			}
		}
		return true
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.applys
}

func (b *bed) refuseWith(refuse func(kind, name string) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = refuse
}

// event waits for the next Event.
func (b *bed) event() string {
	b.t.Helper()
	select {
	case e := <-b.events.Events:
		return e
	case <-time.After(10 * time.Second):
		b.t.Fatal("no Event within 10 s")
		return ""
	}
}

func simple(name string) *model.Gateway {
	return &model.Gateway{Key: source.Key{Namespace: "team", Name: name}, Ports: []model.Port{{Number: 80}}}
}

func TestFleetIsMadeOnceAndNotWrittenAgain(t *testing.T) {
	b := newBed(t)
	b.want("ours", simple("gw"))
	first := b.settled("gw", "Service")
	if !b.complete("gw") || first != 6 {
		t.Errorf("%d writes; complete: %v", first, b.complete("gw"))
	}
	d, _ := get(b, "gw", &appsv1.Deployment{})
	if owner := metav1.GetControllerOf(d); owner == nil || owner.UID != uidOf("gw") || owner.Kind != "Gateway" {
		t.Errorf("the owner is %v", owner)
	}
	// Routes change, ports do not; then another port is served.
	again := simple("gw")
	again.Backends = map[string]model.Backend{}
	b.want("ours", again)
	more := simple("gw")
	more.Ports = append(more.Ports, model.Port{Number: 443})
	b.want("ours", more)
	b.eventually("the Service has both ports", func() bool {
		s, _ := get(b, "gw", &corev1.Service{})
		return len(s.Spec.Ports) == 2
	})
	if n := b.settled("gw", "Service"); n != first+1 {
		t.Errorf("%d writes for a port, want the Service alone", n-first)
	}
}

// What others change or delete is mended when it is heard of.
func TestDriftIsMended(t *testing.T) {
	b := newBed(t)
	b.want("ours", simple("gw"))
	b.settled("gw", "Service")
	s, _ := get(b, "gw", &corev1.Service{})
	s.Spec.Type, s.Spec.Ports[0].Port = corev1.ServiceTypeClusterIP, 81
	if err := b.client.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	b.term.heard("Service", s, true)
	b.eventually("the Service is mended", func() bool {
		s, _ := get(b, "gw", &corev1.Service{})
		return s.Spec.Type == corev1.ServiceTypeLoadBalancer && len(s.Spec.Ports) == 1 && s.Spec.Ports[0].Port == 80
	})
	for _, k := range kinds {
		if k.kind == autoscalerKind.kind {
			continue
		}
		b.settled("gw", "Service")
		o, _ := get(b, "gw", k.empty())
		if err := b.client.Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		b.term.heard(k.kind, o, false)
		b.eventually("the "+k.kind+" is made again", func() bool { return b.exists("gw", k) })
	}
	// A status that changes is no drift.
	before := b.settled("gw", "Service")
	d, _ := get(b, "gw", &appsv1.Deployment{})
	d.Status.ReadyReplicas, d.ResourceVersion, d.Generation = 2, "9999", 7
	b.term.heard("Deployment", d, true)
	if n := b.settled("gw", "Service"); n != before {
		t.Errorf("%d writes for a status", n-before)
	}
}

func TestForeignObjectsAreLeftAlone(t *testing.T) {
	for _, k := range kinds[:1] {
		b := newBed(t)
		foreign := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: model.FleetName("gw")}}
		foreign.Spec.Ports = []corev1.ServicePort{{Port: 5432}}
		if err := b.client.Create(t.Context(), foreign); err != nil {
			t.Fatal(err)
		}
		b.want("ours", simple("gw"), simple("other"))
		event := b.event()
		for _, part := range []string{"Warning", "FleetNotApplied", k.kind + " team/switchyard-gw", "rename"} {
			if !strings.Contains(event, part) {
				t.Errorf("the event %q does not say %q", event, part)
			}
		}
		b.eventually("the other Gateway has its fleet", func() bool { return b.complete("other") })
		b.eventually("the rest of the fleet is there", func() bool { return b.complete("gw") })
		s, _ := get(b, "gw", &corev1.Service{})
		if s.Spec.Ports[0].Port != 5432 || len(s.Labels) != 0 {
			t.Errorf("somebody else's Service was changed: %v", s)
		}
		// It goes; the pause before the next attempt ends.
		if err := b.client.Delete(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		b.eventually("the Service is ours", func() bool {
			b.clock.Step(retryAtMost)
			s, ok := get(b, "gw", &corev1.Service{})
			return ok && s.Labels[managedByLabel] == managedByValue
		})
	}
}

// Objects of an earlier Gateway of the same name are not taken over, nor those that only carry our label.
func TestCheckOwner(t *testing.T) {
	ours := map[string]string{managedByLabel: managedByValue, instanceLabel: "x"}
	by := func(uid types.UID) []metav1.OwnerReference {
		return []metav1.OwnerReference{owner(source.Key{Name: "gw"}, uid)}
	}
	for name, c := range map[string]struct {
		meta metav1.ObjectMeta
		ok   bool
	}{
		"ours":                        {metav1.ObjectMeta{Labels: ours, OwnerReferences: by("a")}, true},
		"ours, the label taken away":  {metav1.ObjectMeta{OwnerReferences: by("a")}, true},
		"ours, the owner taken away":  {metav1.ObjectMeta{Labels: ours}, true},
		"of an earlier Gateway":       {metav1.ObjectMeta{Labels: ours, OwnerReferences: by("b")}, false},
		"of another fleet, no owner":  {metav1.ObjectMeta{Labels: map[string]string{managedByLabel: managedByValue}}, false},
		"of somebody":                 {metav1.ObjectMeta{}, false},
		"of somebody else's operator": {metav1.ObjectMeta{Labels: ours, OwnerReferences: []metav1.OwnerReference{{Kind: "X", UID: "b", Controller: pointer(true)}}}, false},
	} {
		c.meta.Name = "x"
		if err := checkOwner(&corev1.Service{ObjectMeta: c.meta}, "a", name); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefusedWriteNamesTheObjectAndIsTriedAgain(t *testing.T) {
	b := newBed(t)
	b.refuseWith(func(kind, name string) error {
		if kind == "PodDisruptionBudget" && name == model.FleetName("bad") {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "poddisruptionbudgets"}, name, fmt.Errorf("quota"))
		}
		return nil
	})
	b.want("ours", simple("bad"), simple("good"))
	event := b.event()
	if !strings.Contains(event, "PodDisruptionBudget team/switchyard-bad") || !strings.Contains(event, "quota") {
		t.Errorf("the event says %q", event)
	}
	b.eventually("the good one is complete", func() bool { return b.complete("good") })
	b.eventually("the bad one has its proxies", func() bool { _, ok := get(b, "bad", &appsv1.Deployment{}); return ok })
	b.refuseWith(nil)
	b.eventually("it is tried again", func() bool { b.clock.Step(retryAtMost); return b.complete("bad") })
	if len(b.events.Events) > 0 {
		t.Errorf("the same failure is told again: %s", <-b.events.Events)
	}
}

// A Gateway that changes to a class of somebody else loses its fleet; one that is refused, or whose class is gone,
// keeps it.
func TestWhoLosesItsFleet(t *testing.T) {
	b := newBed(t)
	b.want("ours", simple("gw"))
	b.settled("gw", "Service")
	foreign := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: model.FleetName("two"), Labels: map[string]string{managedByLabel: managedByValue},
		OwnerReferences: []metav1.OwnerReference{owner(source.Key{Name: "two"}, "earlier")}}}
	if err := b.client.Create(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	b.wantWithOthers("ours", nil, "gw")
	b.wantWithOthers("missing", nil, "gw")
	b.start("registry.example/switchyard:1") // also for a leader that has never seen the fleet
	b.wantWithOthers("ours", nil, "gw")
	b.eventually("the refused Gateway was looked at", func() bool {
		s := b.term.state(source.Key{Namespace: "team", Name: "gw"})
		if s == nil {
			return false
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.renewAt.IsZero()
	})
	if !b.complete("gw") {
		t.Fatal("a refused Gateway has lost its fleet")
	}
	b.wantWithOthers("theirs", nil, "gw", "two")
	b.eventually("the fleet is gone", func() bool {
		for _, k := range kinds {
			if b.exists("gw", k) {
				return false
			}
		}
		return true
	})
	b.eventually("the other Gateway was looked at", func() bool {
		s := b.term.state(source.Key{Namespace: "team", Name: "two"})
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.removed
	})
	if !b.exists("two", kinds[4]) {
		t.Error("an object was deleted that the Gateway does not own")
	}
	b.want("ours", simple("gw"))
	b.eventually("the fleet is back", func() bool { return b.complete("gw") })
}

// An upgrade of the control plane alone changes no pod; the new image comes with the next change that does.
func TestUpgradeKeepsTheDrainer(t *testing.T) {
	b := newBed(t)
	b.want("ours", simple("gw"))
	b.settled("gw", "Service")
	before, _ := get(b, "gw", &appsv1.Deployment{})
	b.start("registry.example/switchyard:2")
	b.want("ours", simple("gw"))
	b.settled("gw", "Service")
	after, _ := get(b, "gw", &appsv1.Deployment{})
	if got := findDrainer(&after.Spec.Template).Image; got != "registry.example/switchyard:1" {
		t.Errorf("the drainer is %s now, which restarts every proxy", got)
	}
	if !equality.Semantic.DeepEqual(before.Spec.Template, after.Spec.Template) {
		t.Error("the pod template has changed")
	}
	gw := simple("gw")
	gw.Fleet.Parameters.Image = "envoy:new"
	b.want("ours", gw)
	b.eventually("the new drainer comes with a new Envoy", func() bool {
		d, _ := get(b, "gw", &appsv1.Deployment{})
		return findDrainer(&d.Spec.Template).Image == "registry.example/switchyard:2" && d.Spec.Template.Spec.InitContainers[0].Image == "envoy:new"
	})
}

func TestCertificates(t *testing.T) {
	b := newBed(t)
	b.want("ours", simple("gw"))
	writes := b.settled("gw", "Service")
	pair := func() identity.Pair {
		s, _ := get(b, "gw", &corev1.Secret{})
		return identity.ReadPair(s.Data)
	}
	valid := func() bool {
		return b.ca.CheckFleet(pair(), source.Key{Namespace: "team", Name: "gw"}, b.clock.Now()) == nil
	}
	first := pair()
	if !valid() {
		t.Fatal("the first certificate is not good")
	}
	b.clock.SetTime(identity.RenewAt(first).Add(-time.Minute))
	if n := b.settled("gw", "Service"); n != writes || string(pair().Certificate) != string(first.Certificate) {
		t.Errorf("%d writes before the certificate is due", n-writes)
	}
	b.clock.SetTime(identity.RenewAt(first))
	b.eventually("it is renewed when it is due", func() bool { return string(pair().Certificate) != string(first.Certificate) })
	if !valid() {
		t.Error("the renewed certificate is not good")
	}
	if n := b.settled("gw", "Service"); n != writes+1 {
		t.Errorf("%d writes for a certificate", n-writes)
	}
	next := b.newCA()
	b.mu.Lock()
	b.ca = next
	b.mu.Unlock()
	b.eventually("another CA issues another", func() bool { b.clock.Step(lookAtCA); return valid() })
	// The Gateway is refused now: its proxies still need their identity.
	b.wantWithOthers("ours", nil, "gw")
	b.start("registry.example/switchyard:1")
	b.wantWithOthers("ours", nil, "gw")
	b.clock.Step(identity.CertificateLifetime)
	b.eventually("a refused Gateway's certificate is renewed", valid)
}

func TestAutoscaler(t *testing.T) {
	b := newBed(t)
	gw := simple("gw")
	gw.Fleet.Parameters.Replicas = pointer(int32(7))
	b.want("ours", gw)
	b.settled("gw", "Service")
	scaled := simple("gw")
	scaled.Fleet.Parameters.Autoscaling = &model.Autoscaling{MaxReplicas: 10}
	b.want("ours", scaled)
	b.eventually("there is an autoscaler", func() bool { return b.exists("gw", autoscalerKind) })
	b.settled("gw", "Service")
	b.mu.Lock()
	handed := slices.Clone(b.handed)
	b.mu.Unlock()
	if !slices.Equal(handed, []int64{7}) {
		t.Errorf("the autoscaler was handed %v, want the 7 replicas that there were", handed)
	}
	b.want("ours", simple("gw"))
	b.eventually("it is gone again", func() bool {
		_, ok := get(b, "gw", &autoscalingv2.HorizontalPodAutoscaler{})
		d, _ := get(b, "gw", &appsv1.Deployment{})
		return !ok && *d.Spec.Replicas == defaultReplicas
	})
}

// The load balancer class cannot change; all else about the Service still does, and the user is told what to do.
func TestLoadBalancerClass(t *testing.T) {
	b := newBed(t)
	with := func(class string, ports ...uint16) *model.Gateway {
		gw := input{Name: "gw", Ports: ports}.gateway(t)
		gw.Fleet.Parameters.Service = &model.FleetService{LoadBalancerClass: &class}
		return gw
	}
	b.want("ours", with("example.com/a", 80))
	b.settled("gw", "Service")
	b.want("ours", with("example.com/b", 80, 81))
	if event := b.event(); !strings.Contains(event, "example.com/a to example.com/b") || !strings.Contains(event, "delete the Service") {
		t.Errorf("the event says %q", event)
	}
	s, _ := get(b, "gw", &corev1.Service{})
	if *s.Spec.LoadBalancerClass != "example.com/a" || len(s.Spec.Ports) != 2 {
		t.Errorf("the Service has class %s and %d ports", *s.Spec.LoadBalancerClass, len(s.Spec.Ports))
	}
	none := input{Name: "gw", Ports: []uint16{80}}.gateway(t)
	b.want("ours", none)
	b.eventually("no wish for a class leaves the one that is there", func() bool {
		s, _ := get(b, "gw", &corev1.Service{})
		return len(s.Spec.Ports) == 1 && *s.Spec.LoadBalancerClass == "example.com/a"
	})
}

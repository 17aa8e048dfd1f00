package resilience

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/conformance/resilience/load"
)

// setup says what a world is made of.
type setup struct {
	proxies int // 2 unless given
	sims    int32
	simArgs []string
	// pools have a route each, at hostOf(name); all are over the same model servers.
	pools map[string]*infv1.EndpointPickerRef
	// secret, if given, is what the Gateway also terminates TLS with.
	secret *corev1.Secret
	// namespace is where all of it goes; a new one unless given.
	namespace string
}

// world is a namespace with a Gateway that serves.
type world struct {
	*installation
	t         *testing.T
	namespace string
	address   string // of the Gateway
	fleet     string // the Deployment of its proxies
}

// open is the pool of most tests: without a reference, picked for by the embedded picker, and served when that is away.
var openPool = map[string]*infv1.EndpointPickerRef{"open": nil}

// slowStreams make a stream of a hundred tokens last for five seconds.
var slowStreams = []string{"--first-token", "1ms", "--inter-token", "50ms", "--prefill-tokens-per-second", "1e9"}

// newWorld makes a namespace with a Gateway, pools and model servers, and waits until all of them serve.
func newWorld(t *testing.T, in *installation, s setup) *world {
	t.Helper()
	if s.proxies == 0 {
		s.proxies = 2
	}
	w := &world{installation: in, t: t, namespace: s.namespace}
	if w.namespace == "" {
		w.namespace = newNamespace(t, in)
	}
	objects := []client.Object{in.newSims(w.namespace, s.sims, s.simArgs...), newFleetParameters(w.namespace, s.proxies)}
	secret := ""
	if s.secret != nil {
		s.secret.Namespace, secret = w.namespace, s.secret.Name
		objects = append(objects, s.secret)
	}
	for name, picker := range s.pools {
		objects = append(objects, newPool(w.namespace, name, picker), newRoute(w.namespace, name))
	}
	w.create(append(objects, newGateway(w.namespace, secret))...)
	w.waitRolledOut(t, w.namespace, "sim")
	w.waitProgrammed()
	w.waitFleet(s.proxies)
	for name := range s.pools {
		w.waitAccepted(name)
		w.waitReachable(name)
	}
	return w
}

// waitReachable waits until a pool's hostname is answered at the Gateway's address, with whatever: nodes learn of a fleet's pods some
// time after the pods are ready.
func (w *world) waitReachable(pool string) {
	w.t.Helper()
	inRow := 0
	eventually(w.t, settled, w.address+" answers for "+pool, func(context.Context) error {
		if s := load.Ask(w.options(pool), chat, "is there anybody?"); s.Err != "" {
			inRow = 0
			return errors.New(s.String())
		}
		if inRow++; inRow < 10 {
			return fmt.Errorf("%d times in a row", inRow)
		}
		return nil
	})
}

// newNamespace makes a namespace, and deletes it when the test ends. That it has gone is checked after all tests: most of
// what they would take is namespaces on their way out.
func newNamespace(t *testing.T, in *installation) string {
	t.Helper()
	return newLabelledNamespace(t, in, nil)
}

func newLabelledNamespace(t *testing.T, in *installation, labels map[string]string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "resilience-", Labels: labels}}
	if err := in.Create(t.Context(), ns); err != nil {
		t.Fatalf("making a namespace: %v", err)
	}
	leftovers.Lock()
	defer leftovers.Unlock()
	leftovers.list = append(leftovers.list, leftover{in, ns.Name})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), settled)
		defer cancel()
		if err := in.Delete(ctx, ns); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("deleting namespace %s: %v", ns.Name, err)
		}
	})
	return ns.Name
}

// leftover is a namespace that a test has made.
type leftover struct {
	in   *installation
	name string
}

var leftovers struct {
	sync.Mutex
	list []leftover
}

// TestMain fails when a namespace of a test does not go.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, l := range leftovers.list {
		if err := poll(context.Background(), settled, func(ctx context.Context) error { return l.in.isGone(ctx, l.name) }); err != nil {
			fmt.Fprintf(os.Stderr, "namespace %s is left behind: %v\n", l.name, err)
			code = 1
		}
	}
	os.Exit(code)
}

// isGone gives an error that says what keeps a namespace.
func (in *installation) isGone(ctx context.Context, namespace string) error {
	var ns corev1.Namespace
	err := in.Get(ctx, client.ObjectKey{Name: namespace}, &ns)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	text := fmt.Sprintf("namespace %s is %s", namespace, ns.Status.Phase)
	for _, c := range ns.Status.Conditions {
		if c.Status == corev1.ConditionTrue {
			text += fmt.Sprintf("; %s: %s", c.Type, c.Message)
		}
	}
	return errors.New(text)
}

func (w *world) create(objects ...client.Object) {
	w.t.Helper()
	for _, o := range objects {
		if err := w.Create(w.t.Context(), o); err != nil {
			w.t.Fatalf("making %T %s/%s: %v", o, o.GetNamespace(), o.GetName(), err)
		}
	}
}

// waitProgrammed waits for the Gateway's address.
func (w *world) waitProgrammed() {
	w.t.Helper()
	took := eventually(w.t, settled, "Gateway "+w.namespace+"/"+gatewayName+" is programmed", func(ctx context.Context) error {
		var g gwv1.Gateway
		if err := w.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: gatewayName}, &g); err != nil {
			return err
		}
		c := meta.FindStatusCondition(g.Status.Conditions, string(gwv1.GatewayConditionProgrammed))
		if c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration != g.Generation {
			return fmt.Errorf("its conditions are %+v", g.Status.Conditions)
		}
		if len(g.Status.Addresses) == 0 {
			return errors.New("it has no address")
		}
		w.address = g.Status.Addresses[0].Value
		return nil
	})
	w.t.Logf("Gateway %s/%s at %s after %s", w.namespace, gatewayName, w.address, took.Round(time.Millisecond))
}

// waitFleet waits until the fleet has exactly so many proxies, all of them ready, and none that ends.
func (w *world) waitFleet(proxies int) time.Duration {
	w.t.Helper()
	return eventually(w.t, settled, fmt.Sprintf("the fleet of %s has %d proxies", w.namespace, proxies), func(ctx context.Context) error {
		var list appsv1.DeploymentList
		if err := w.List(ctx, &list, client.InNamespace(w.namespace), client.MatchingLabels{gatewayNameLabel: gatewayName}); err != nil {
			return err
		}
		if len(list.Items) != 1 {
			return fmt.Errorf("%d Deployments with the label %s=%s", len(list.Items), gatewayNameLabel, gatewayName)
		}
		d := &list.Items[0]
		w.fleet = d.Name
		if d.Spec.Replicas == nil || int(*d.Spec.Replicas) != proxies {
			return fmt.Errorf("Deployment %s asks for %v replicas", d.Name, d.Spec.Replicas)
		}
		if err := rolledOut(d); err != nil {
			return err
		}
		pods, err := w.podsOf(ctx, d)
		if err == nil && len(pods) != proxies {
			return fmt.Errorf("%d pods", len(pods))
		}
		return err
	})
}

// proxies lists the pods of the fleet that are not ending.
func (w *world) proxies() []corev1.Pod {
	w.t.Helper()
	d, err := w.deployment(w.t.Context(), w.namespace, w.fleet)
	if err != nil {
		w.t.Fatal(err)
	}
	pods, err := w.podsOf(w.t.Context(), d)
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.DeleteFunc(pods, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

// waitAccepted waits until the route of a pool is accepted with all its references.
func (w *world) waitAccepted(pool string) {
	w.t.Helper()
	eventually(w.t, settled, "HTTPRoute "+w.namespace+"/"+pool+" is accepted", func(ctx context.Context) error {
		var r gwv1.HTTPRoute
		if err := w.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: pool}, &r); err != nil {
			return err
		}
		for _, p := range r.Status.Parents {
			if meta.IsStatusConditionTrue(p.Conditions, string(gwv1.RouteConditionAccepted)) &&
				meta.IsStatusConditionTrue(p.Conditions, string(gwv1.RouteConditionResolvedRefs)) {
				return nil
			}
		}
		return fmt.Errorf("its parents are %+v", r.Status.Parents)
	})
}

// options lead a load to a pool through the Gateway's address.
func (w *world) options(pool string, shapes ...load.Shape) load.Options {
	return load.Options{URL: "http://" + w.address, Host: hostOf(pool), Model: model, Shapes: shapes}
}

// at leads to one proxy, past the Service.
func at(o load.Options, pod *corev1.Pod) load.Options {
	o.URL = "http://" + pod.Status.PodIP
	return o
}

// chat is a short request over a connection of its own.
var chat = load.Shape{Name: "chat", Tokens: 1}

// waitAnswers waits until every proxy of the fleet answers with this status, ten times in a row.
func (w *world) waitAnswers(pool string, status int) {
	w.t.Helper()
	for _, pod := range w.proxies() {
		inRow := 0
		eventually(w.t, settled, fmt.Sprintf("proxy %s answers %d for %s", pod.Name, status, pool), func(context.Context) error {
			s := load.Ask(at(w.options(pool), &pod), chat, "are you there?")
			if !s.Is(status) {
				inRow = 0
				return errors.New(s.String())
			}
			if inRow++; inRow < 10 {
				return fmt.Errorf("%d times in a row", inRow)
			}
			return nil
		})
	}
}

// startLoad begins a load that ends with the test at the latest, and waits until all of it flows.
func startLoad(t *testing.T, o load.Options) *load.Run {
	t.Helper()
	run := load.Start(o)
	t.Cleanup(func() { run.Stop() })
	more(t, run, 0)
	return run
}

// more waits until every worker has finished so many further requests.
func more(t *testing.T, run *load.Run, requests int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), settled)
	defer cancel()
	if err := run.More(ctx, requests); err != nil {
		t.Fatalf("%v\n%s", err, run.Report())
	}
}

// expectNoErrors ends a load and wants every request answered 200 to the end.
func expectNoErrors(t *testing.T, run *load.Run) load.Report {
	t.Helper()
	report := run.Stop()
	t.Logf("%s; the longest without a stream %s", report, report.Longest())
	if failed := report.Not(http.StatusOK); len(failed) > 0 {
		t.Errorf("%d of %d requests failed", len(failed), len(report.Samples))
		for _, s := range failed[:min(len(failed), 5)] {
			t.Errorf("  %s", s)
		}
	}
	return report
}

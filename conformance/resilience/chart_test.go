package resilience

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/conformance/resilience/load"
)

// restricted is what the namespaces of the charts' tests allow: a pod that asks for more is never made there.
var restricted = map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}

// proxyPort is where the proxies of the standalone chart listen.
const proxyPort = 8081

// chartLoad is every shape, with streams of three seconds. Whether proxies wait for their streams takes longStreams to see: one that is
// told to end serves on for five seconds by any means.
var chartLoad = load.Mixed(60)

// release is an installed chart, with simulated model servers beside it.
type release struct {
	*installation
	t               *testing.T
	namespace, name string
	chart           string
	files           []string // of values, each over those before it
	before          map[string]bool
	found           time.Duration // after which proxies know a new picker
}

// smallValues make a picker and a proxy fit a small machine, and have them choose among the simulators.
func (in *installation) smallValues(t *testing.T) string {
	t.Helper()
	repository, tag, found := cutTag(in.image)
	if !found {
		t.Fatalf("the image %q has no tag", in.image)
	}
	return fmt.Sprintf(`router:
  epp:
    image: {registry: "", repository: %q, tag: %q, pullPolicy: IfNotPresent}
    resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {memory: 512Mi}}
    flags: {drain-timeout: 5s}
  modelServers: {matchLabels: {app: sim}}
`, repository, tag)
}

// smallProxies are values like these of the standalone chart's proxies, in one of its modes.
func smallProxies(mode string) string {
	return fmt.Sprintf(`router:
  proxy:
    mode: %s
    drainSeconds: %d
    resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {memory: 512Mi}}
`, mode, drainSeconds)
}

const withoutPool = "router: {inferencePool: {create: false}}\n"

// newRelease installs a chart in a new namespace with three model servers. When the test ends it is uninstalled, if that has not
// been done by then.
func (in *installation) newRelease(t *testing.T, name, chart string, values ...string) *release {
	t.Helper()
	r := in.newHome(t, name, chart)
	r.install(values...)
	return r
}

// newHome makes the namespace of a release, with model servers in it.
func (in *installation) newHome(t *testing.T, name, chart string) *release {
	t.Helper()
	r := &release{installation: in, t: t, name: name, chart: chart, found: pickerBack, namespace: newLabelledNamespace(t, in, restricted)}
	sims := in.newSims(r.namespace, 3, slowStreams...)
	restrict(&sims.Spec.Template.Spec)
	if err := in.Create(t.Context(), sims); err != nil {
		t.Fatal(err)
	}
	in.waitRolledOut(t, r.namespace, "sim")
	return r
}

// install notes what there is, and installs the chart.
func (r *release) install(values ...string) {
	r.t.Helper()
	r.before = r.waitObjects()
	r.addValues(append([]string{r.smallValues(r.t)}, values...)...)
	if len(r.before) < 7 { // what every namespace has, the simulators' Deployment and ReplicaSet, and three pods
		r.t.Fatalf("only %v are seen in namespace %s", r.before, r.namespace)
	}
	r.t.Cleanup(r.remove)
	began := time.Now()
	r.helm("install")
	r.t.Logf("%s in %s: installed after %s", r.name, r.namespace, time.Since(began).Round(time.Millisecond))
}

// remove uninstalls what a test has left installed.
func (r *release) remove() {
	helm(r.t, context.WithoutCancel(r.t.Context()), "uninstall", r.name, "--namespace", r.namespace, "--wait", "--ignore-not-found")
}

// restrict makes a pod one that the level restricted allows.
func restrict(spec *corev1.PodSpec) {
	spec.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot: ptr(true), RunAsUser: ptr(int64(65532)), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	for i := range spec.Containers {
		spec.Containers[i].SecurityContext = &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}
	}
}

// addValues keeps texts of values for the next helm.
func (r *release) addValues(texts ...string) {
	r.t.Helper()
	for _, text := range texts {
		file := filepath.Join(r.t.TempDir(), "values.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			r.t.Fatal(err)
		}
		r.files = append(r.files, file)
	}
}

func (r *release) helm(verb string) {
	r.t.Helper()
	args := []string{verb, r.name, r.chart, "--namespace", r.namespace, "--wait", "--timeout", settled.String()}
	for _, file := range r.files {
		args = append(args, "--values", file)
	}
	helm(r.t, r.t.Context(), args...)
}

// upgrade changes values and waits until the Deployments of the release have become what they should be.
func (r *release) upgrade(what string, values ...string) {
	r.t.Helper()
	began := time.Now()
	r.addValues(values...)
	r.helm("upgrade")
	r.waitDeployments()
	r.t.Logf("upgraded (%s) after %s", what, time.Since(began).Round(time.Millisecond))
}

// waitDeployments waits until the pods of the release are those that there should be, and no others.
func (r *release) waitDeployments() {
	r.t.Helper()
	for _, name := range r.deployments() {
		r.waitRolledOut(r.t, r.namespace, name)
	}
}

// deployments lists those of the release.
func (r *release) deployments() (names []string) {
	r.t.Helper()
	var list appsv1.DeploymentList
	if err := r.List(r.t.Context(), &list, client.InNamespace(r.namespace), client.MatchingLabels{"app.kubernetes.io/instance": r.name}); err != nil {
		r.t.Fatal(err)
	}
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names
}

// scaleTo scales a Deployment as kubectl does, and waits until it has that many pods.
func (r *release) scaleTo(deployment string, replicas int32) {
	r.t.Helper()
	began := time.Now()
	if _, err := r.scale(r.t.Context(), r.namespace, deployment, replicas); err != nil {
		r.t.Fatal(err)
	}
	r.waitRolledOut(r.t, r.namespace, deployment)
	r.t.Logf("%s has %d replicas after %s", deployment, replicas, time.Since(began).Round(time.Millisecond))
}

// podsIn lists the pods of a Deployment that are not ending, the oldest first.
func (r *release) podsIn(deployment string) []corev1.Pod {
	r.t.Helper()
	pods := slices.DeleteFunc(r.allPodsIn(deployment), func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return pods
}

// allPodsIn lists those that are ending, too.
func (r *release) allPodsIn(deployment string) []corev1.Pod {
	r.t.Helper()
	d, err := r.deployment(r.t.Context(), r.namespace, deployment)
	if err != nil {
		r.t.Fatal(err)
	}
	pods, err := r.podsOf(r.t.Context(), d)
	if err != nil {
		r.t.Fatal(err)
	}
	return pods
}

// options lead a load to a Service of the release.
func (r *release) options(service string, shapes ...load.Shape) load.Options {
	r.t.Helper()
	var s corev1.Service
	if err := r.Get(r.t.Context(), client.ObjectKey{Namespace: r.namespace, Name: service}, &s); err != nil {
		r.t.Fatal(err)
	}
	return load.Options{URL: fmt.Sprintf("http://%s:%d", s.Spec.ClusterIP, proxyPort), Model: model, Shapes: shapes}
}

// through leads to one proxy, past the Service.
func through(pod *corev1.Pod) load.Options {
	return load.Options{URL: fmt.Sprintf("http://%s:%d", pod.Status.PodIP, proxyPort), Model: model}
}

// waitServed waits until a Service answers, ten times in a row.
func (r *release) waitServed(service string) {
	r.t.Helper()
	inRow := 0
	eventually(r.t, settled, "Service "+service+" answers", func(context.Context) error {
		if s := load.Ask(r.options(service), chat, "is there anybody?"); !s.Is(http.StatusOK) {
			inRow = 0
			return errors.New(s.String())
		}
		if inRow++; inRow < 10 {
			return fmt.Errorf("%d times in a row", inRow)
		}
		return nil
	})
}

// expectPicked wants picks through every proxy of a Deployment within r.found, and from then on every request served where the picker said.
func (r *release) expectPicked(deployment string) {
	r.t.Helper()
	proxies := r.podsIn(deployment)
	access := r.followProxies(r.t, proxies, "envoy-proxy")
	took := access.waitPicked(r.t, proxies, time.Now(), through)
	r.t.Logf("each of %d proxies has picks after %s", len(proxies), took.Round(time.Millisecond))
	if took > r.found {
		r.t.Errorf("picks came only after %s", took)
	}
	for _, pod := range proxies {
		var asked []load.Sample
		for i := range 5 {
			asked = append(asked, load.Ask(through(&pod), chat, fmt.Sprintf("who picks for %d?", i)))
		}
		for _, s := range asked {
			if l := access.logged(r.t, s); !s.Is(http.StatusOK) || l.Picked == "" || l.Served != l.Picked || s.Server != l.Picked {
				r.t.Errorf("through %s: %s, answered by %s, access log %+v", pod.Name, s, s.Server, l)
			}
		}
	}
}

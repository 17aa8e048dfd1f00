package resilience

import (
	"context"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/conformance/resilience/load"
)

// TestReleaseForNamespaces installs the chart a second time, for one namespace, while the first release stands still: that namespace is
// served in full, another one is not touched, and no right reaches beyond but that to read what lies in no namespace.
func TestReleaseForNamespaces(t *testing.T) {
	in := connect(t)
	home, served, foreign := newNamespace(t, in), newNamespace(t, in), newNamespace(t, in)
	in.takeAway(t, in.namespace, in.name)
	second, release := in.install(t, home, served)
	for _, o := range []client.Object{newFleetParameters(foreign, 1), newGateway(foreign, ""), newPool(foreign, "open", nil), newRoute(foreign, "open")} {
		if err := in.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, second, setup{namespace: served, sims: 2, simArgs: slowStreams, pools: openPool})
	w.waitAnswers("open", http.StatusOK)
	access := w.followAccess()
	w.waitPicked(access, "open", time.Now())
	run := startLoad(t, w.options("open", load.Mixed(20)...))
	more(t, run, 3)
	expectNoErrors(t, run)
	in.expectUntouched(t, foreign)

	d, err := second.deployment(t.Context(), home, second.name)
	if err != nil {
		t.Fatal(err)
	}
	account := serviceAccount(d)
	in.expectForbidden(t, account, "", served, home, foreign)
	for _, r := range []right{
		{Verb: "list", Resource: "secrets"}, {Verb: "get", Resource: "secrets", Namespace: foreign},
		{Verb: "list", Resource: "pods"}, {Verb: "list", Resource: "pods", Namespace: foreign},
		{Verb: "list", Group: "gateway.networking.k8s.io", Resource: "gateways"},
		{Verb: "create", Group: "apps", Resource: "deployments", Namespace: foreign},
	} {
		if in.may(t, account, r) {
			t.Errorf("%s may %s", account.Name, describe(r))
		}
	}
	for role, rules := range in.rulesOf(t, account) {
		for _, rule := range rules {
			t.Logf("%s: %v %v", role, rule.Verbs, rule.Resources)
		}
	}
	if lines := second.errorLines(t, time.Now().Add(-settled)); len(lines) > maxErrorLines {
		t.Errorf("it wrote %d lines at level ERROR, among them\n%s", len(lines), strings.Join(lines[:min(len(lines), 20)], "\n"))
	}
	release.uninstall(2)
}

// install installs the chart for one namespace and gives the installation, which is uninstalled when the test ends, if not before.
func (in *installation) install(t *testing.T, home, served string) (*installation, *release) {
	t.Helper()
	repository, tag, found := cutTag(in.image)
	if !found {
		t.Fatalf("the image %q has no tag", in.image)
	}
	r := &release{installation: in, t: t, name: "limited", namespace: home}
	r.before = r.waitObjects()
	r.before["secrets/switchyard-ca"] = true // stays: proxies that outlive a control plane come back to the next one with certificates of it
	t.Cleanup(r.remove)
	helm(t, t.Context(), "install", r.name, flags.chart, "--namespace", home, "--wait", "--timeout", settled.String(),
		"--set", "replicas=1", "--set", "gatewayClass.create=false", "--set", "namespaces={"+served+"}",
		"--set", "image.repository="+repository, "--set-string", "image.tag="+tag)
	second := *in
	second.namespace = home
	d, err := second.findLabelled(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second.name = d.Name
	return &second, r
}

// cutTag splits an image's name at the colon of its tag.
func cutTag(image string) (repository, tag string, found bool) {
	i := strings.LastIndex(image, ":")
	if i < 0 || strings.Contains(image[i:], "/") {
		return image, "", false
	}
	return image[:i], image[i+1:], true
}

func helm(t *testing.T, ctx context.Context, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, settled+time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, flags.helm, args...).CombinedOutput(); err != nil {
		t.Errorf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
		if args[0] != "uninstall" {
			t.FailNow()
		}
	}
}

// expectUntouched checks that nobody has looked after the Gateway of a namespace.
func (in *installation) expectUntouched(t *testing.T, namespace string) {
	t.Helper()
	var g gwv1.Gateway
	if err := in.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: gatewayName}, &g); err != nil {
		t.Fatal(err)
	}
	if meta.IsStatusConditionTrue(g.Status.Conditions, string(gwv1.GatewayConditionAccepted)) {
		t.Errorf("Gateway %s/%s is accepted: %+v", namespace, gatewayName, g.Status.Conditions)
	}
	var services corev1.ServiceList
	if err := in.List(t.Context(), &services, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	if len(services.Items) > 0 {
		t.Errorf("namespace %s has Service %s", namespace, services.Items[0].Name)
	}
}

package resilience

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// gatewayNameLabel is on everything that belongs to a Gateway's fleet.
const gatewayNameLabel = "gateway.networking.k8s.io/gateway-name"

// installation is the control plane under test and the way to its cluster.
type installation struct {
	client.Client
	pods      kubernetes.Interface // for what the other client has no words for: logs, evictions
	config    *rest.Config
	namespace string
	name      string // of the Deployment
	image     string
	command   []string // that the image is started with, ahead of the subcommand
}

// connect finds the control plane.
func connect(t *testing.T) *installation {
	t.Helper()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		t.Fatalf("finding the cluster: %v; set KUBECONFIG", err)
	}
	config.QPS, config.Burst, config.UserAgent = 100, 200, "resilience"
	in := &installation{namespace: flags.controlPlaneNamespace}
	if err := in.reach(config); err != nil {
		t.Fatalf("reaching the cluster: %v", err)
	}
	d, err := in.find(t.Context())
	if err != nil {
		t.Fatalf("finding the control plane: %v", err)
	}
	in.name = d.Name
	container := d.Spec.Template.Spec.Containers[0]
	in.image, in.command = container.Image, container.Command
	if flags.image != "" {
		in.image = flags.image
	}
	in.waitReady(t)
	return in
}

func (in *installation) reach(config *rest.Config) error {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), gwv1.Install(scheme), infv1.Install(scheme)); err != nil {
		return err
	}
	in.config = config
	var err error
	if in.Client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	in.pods, err = kubernetes.NewForConfig(config)
	return err
}

func (in *installation) find(ctx context.Context) (*appsv1.Deployment, error) {
	if flags.controlPlane != "" {
		return in.deployment(ctx, in.namespace, flags.controlPlane)
	}
	return in.findLabelled(ctx)
}

// findLabelled finds the only Deployment of the namespace that may be a control plane.
func (in *installation) findLabelled(ctx context.Context) (*appsv1.Deployment, error) {
	var list appsv1.DeploymentList
	if err := in.List(ctx, &list, client.InNamespace(in.namespace), client.HasLabels{"app.kubernetes.io/name"}); err != nil {
		return nil, err
	}
	list.Items = slices.DeleteFunc(list.Items, func(d appsv1.Deployment) bool { return d.Labels[gatewayNameLabel] != "" })
	if len(list.Items) != 1 {
		return nil, fmt.Errorf("namespace %s has %d Deployments with the label app.kubernetes.io/name; name one with -control-plane",
			in.namespace, len(list.Items))
	}
	return &list.Items[0], nil
}

func (in *installation) deployment(ctx context.Context, namespace, name string) (*appsv1.Deployment, error) {
	var d appsv1.Deployment
	err := in.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &d)
	return &d, err
}

// rolledOut tells whether a Deployment is what it should be, with nothing of what it was.
func rolledOut(d *appsv1.Deployment) error {
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	s := d.Status
	if s.ObservedGeneration < d.Generation || s.UpdatedReplicas != want || s.AvailableReplicas != want || s.Replicas != want {
		return fmt.Errorf("Deployment %s/%s: of %d replicas %d are up to date and %d available, %d exist", d.Namespace, d.Name,
			want, s.UpdatedReplicas, s.AvailableReplicas, s.Replicas)
	}
	return nil
}

func (in *installation) waitReady(t *testing.T) {
	t.Helper()
	in.waitRolledOut(t, in.namespace, in.name)
}

// waitRolledOut also waits for the pods that are told to end.
func (in *installation) waitRolledOut(t *testing.T, namespace, name string) {
	t.Helper()
	eventually(t, settled, "Deployment "+namespace+"/"+name+" is rolled out", func(ctx context.Context) error {
		d, err := in.deployment(ctx, namespace, name)
		if err != nil {
			return err
		}
		if err := rolledOut(d); err != nil {
			return err
		}
		pods, err := in.podsOf(ctx, d)
		if err == nil && len(pods) != int(d.Status.Replicas) {
			return fmt.Errorf("%d pods, want %d", len(pods), d.Status.Replicas)
		}
		return err
	})
}

// podsOf lists the pods of a Deployment, also those that end.
func (in *installation) podsOf(ctx context.Context, d *appsv1.Deployment) ([]corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, err
	}
	var list corev1.PodList
	err = in.List(ctx, &list, client.InNamespace(d.Namespace), client.MatchingLabelsSelector{Selector: selector})
	return list.Items, err
}

// scale sets the replicas of a Deployment and gives how many there were.
func (in *installation) scale(ctx context.Context, namespace, name string, replicas int32) (before int32, err error) {
	d, err := in.deployment(ctx, namespace, name)
	if err != nil {
		return 0, err
	}
	before = 1
	if d.Spec.Replicas != nil {
		before = *d.Spec.Replicas
	}
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))
	return before, in.Patch(ctx, d, patch)
}

// restart does what kubectl rollout restart does.
func (in *installation) restart(t *testing.T, namespace, name string) {
	t.Helper()
	d, err := in.deployment(t.Context(), namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, metav1.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	if err := in.Patch(t.Context(), d, client.RawPatch("application/strategic-merge-patch+json", patch), client.FieldOwner("kubectl-rollout")); err != nil {
		t.Fatal(err)
	}
}

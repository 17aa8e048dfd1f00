package stage

import (
	"context"
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// BackendName is the Deployment and the Service of the echo servers.
const BackendName = "backend"

// Port is one of the two ports of the backend's Service. Behind each is a container of its own, which names itself in its answers.
type Port struct {
	// Name is what the container gives as its service.
	Name string
	// Number is the Service's port.
	Number int32

	// target is the container's port; the echo server wants a second one, for HTTP/2, which is not used here.
	target int32
}

// The two ports.
var (
	PortA = Port{Name: "port-a", Number: 80, target: 3000}
	PortB = Port{Name: "port-b", Number: 8080, target: 3002}
)

// drainSeconds is how long a pod that is deleted still answers. It is far longer than any control plane should take to stop sending there.
const drainSeconds = 10

const appLabel = "app"

// MakeBackend makes the backend with one pod and waits until it is ready.
func (s *Stage) MakeBackend(ctx context.Context) error {
	if err := s.Client.Create(ctx, s.backendService()); err != nil {
		return fmt.Errorf("create Service of the backend: %w", err)
	}
	if err := s.Client.Create(ctx, s.backendDeployment()); err != nil {
		return fmt.Errorf("create Deployment of the backend: %w", err)
	}
	return s.backendReady(ctx, 1)
}

// ScaleBackend does not wait for the pods.
func (s *Stage) ScaleBackend(ctx context.Context, replicas int) error {
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: BackendName}}
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	if err := s.Client.Patch(ctx, deployment, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("scale the backend to %d: %w", replicas, err)
	}
	return nil
}

func (s *Stage) backendReady(ctx context.Context, replicas int32) error {
	deployment := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: s.Namespace, Name: BackendName}
	err := s.until(ctx, s.Patience, func() (bool, string) {
		if err := s.Client.Get(ctx, key, deployment); err != nil {
			return false, err.Error()
		}
		return deployment.Status.AvailableReplicas >= replicas, s.podTrouble(ctx, deployment.Status.AvailableReplicas)
	})
	if err != nil {
		return fmt.Errorf("wait for the backend (image %s; give one that this cluster has with --backend-image): %w", s.Image, err)
	}
	s.Log.Info("backend is ready")
	return nil
}

// podTrouble says why containers wait; a missing image is the usual reason.
func (s *Stage) podTrouble(ctx context.Context, available int32) string {
	text := strconv.Itoa(int(available)) + " pods available"
	var pods corev1.PodList
	if err := s.Client.List(ctx, &pods, client.InNamespace(s.Namespace), client.MatchingLabels{appLabel: BackendName}); err != nil {
		return text
	}
	for _, pod := range pods.Items {
		for _, c := range pod.Status.ContainerStatuses {
			if c.State.Waiting != nil {
				text += fmt.Sprintf("; %s: %s %s", c.Name, c.State.Waiting.Reason, c.State.Waiting.Message)
			}
		}
	}
	return text
}

func (s *Stage) backendService() *corev1.Service {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: BackendName},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{appLabel: BackendName}},
	}
	for _, p := range []Port{PortA, PortB} {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: p.Name, Port: p.Number, TargetPort: intstr.FromInt32(p.target)})
	}
	return service
}

func (s *Stage) backendDeployment() *appsv1.Deployment {
	labels := map[string]string{appLabel: BackendName}
	replicas, grace := int32(1), int64(drainSeconds+5)
	noToken := false
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: BackendName},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					AutomountServiceAccountToken:  &noToken,
					TerminationGracePeriodSeconds: &grace,
					Containers:                    []corev1.Container{s.echo(PortA), s.echo(PortB)},
				},
			},
		},
	}
}

// echo is a container of the echo server. Two of them share a pod, so that both ports of the Service have the same endpoints.
func (s *Stage) echo(p Port) corev1.Container {
	podField := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
	}
	nonRoot, noEscalation, user := true, false, int64(65532)
	return corev1.Container{
		Name:  p.Name,
		Image: s.Image,
		Env: []corev1.EnvVar{
			{Name: "HTTP_PORT", Value: strconv.Itoa(int(p.target))},
			{Name: "H2C_PORT", Value: strconv.Itoa(int(p.target) + 1)},
			{Name: "SERVICE_NAME", Value: p.Name},
			podField("POD_NAME", "metadata.name"),
			podField("NAMESPACE", "metadata.namespace"),
		},
		Ports: []corev1.ContainerPort{{ContainerPort: p.target}},
		ReadinessProbe: &corev1.Probe{
			PeriodSeconds: 1,
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/health", Port: intstr.FromInt32(p.target)}},
		},
		Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: drainSeconds}}},
		SecurityContext: &corev1.SecurityContext{
			RunAsNonRoot: &nonRoot, RunAsUser: &user, AllowPrivilegeEscalation: &noEscalation,
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
}

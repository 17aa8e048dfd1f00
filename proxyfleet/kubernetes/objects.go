package kubernetes

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/translate/model"
)

// Objects gives the objects of a Gateway's fleet, all but the Secret, in the order in which they are to be applied.
// The same Gateway and options give the same objects.
func Objects(gw *model.Gateway, opts BuildOptions) ([]client.Object, error) {
	f := newFleet(gw, opts)
	config, err := f.configMap()
	if err != nil {
		return nil, fmt.Errorf("building the bootstrap of Gateway %s: %w", gw.Key, err)
	}
	deployment, err := f.deployment(config)
	if err != nil {
		return nil, fmt.Errorf("building the Deployment of Gateway %s: %w", gw.Key, err)
	}
	out := []client.Object{f.serviceAccount(), config}
	if len(gw.Ports) > 0 {
		out = append(out, f.service())
	}
	out = append(out, f.disruptionBudget(), deployment)
	if gw.Fleet.Parameters.Autoscaling != nil {
		out = append(out, f.autoscaler())
	}
	return out, nil
}

func (f fleet) serviceAccount() *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta:                     metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta:                   f.meta(),
		AutomountServiceAccountToken: pointer(false),
	}
}

func (f fleet) service() *corev1.Service {
	settings := f.gw.Fleet.Parameters.Service
	if settings == nil {
		settings = &model.FleetService{}
	}
	s := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: f.meta(),
		Spec: corev1.ServiceSpec{
			Type:     corev1.ServiceTypeLoadBalancer,
			Selector: f.selector(),
			Ports:    f.servicePorts(),
		},
	}
	s.Annotations = f.annotations(settings.Annotations)
	if settings.Type != "" {
		s.Spec.Type = corev1.ServiceType(settings.Type)
	}
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer {
		s.Spec.LoadBalancerClass = settings.LoadBalancerClass
		if f.gw.Fleet.Address.IsValid() {
			s.Spec.LoadBalancerIP = f.gw.Fleet.Address.String()
		}
	}
	if s.Spec.Type != corev1.ServiceTypeClusterIP { // the API server takes it for nothing else
		s.Spec.ExternalTrafficPolicy = settings.ExternalTrafficPolicy
	}
	return s
}

func (f fleet) servicePorts() []corev1.ServicePort {
	out := make([]corev1.ServicePort, 0, len(f.gw.Ports))
	for _, p := range f.gw.Ports {
		out = append(out, corev1.ServicePort{
			Name: fmt.Sprintf("p-%d", p.Number), Protocol: corev1.ProtocolTCP,
			Port: int32(p.Number), TargetPort: intstr.FromInt32(int32(p.Number)),
		})
	}
	return out
}

const defaultReplicas = 2

func (f fleet) disruptionBudget() *policyv1.PodDisruptionBudget {
	p := f.gw.Fleet.Parameters
	b := &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: f.meta(),
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: f.selector()}},
	}
	switch {
	case p.MinAvailable != nil:
		b.Spec.MinAvailable = pointer(intstr.FromInt32(*p.MinAvailable))
	case f.leastReplicas() > 1:
		b.Spec.MinAvailable = pointer(intstr.FromInt32(1))
	default:
		// To keep the only proxy would keep its node from ever being drained.
		b.Spec.MaxUnavailable = pointer(intstr.FromInt32(1))
	}
	return b
}

// leastReplicas is how many proxies there are at the quietest time.
func (f fleet) leastReplicas() int32 {
	p := f.gw.Fleet.Parameters
	switch {
	case p.Autoscaling != nil:
		return f.minReplicas()
	case p.Replicas != nil:
		return *p.Replicas
	}
	return defaultReplicas
}

const defaultCPUTarget = 70

func (f fleet) minReplicas() int32 {
	a := f.gw.Fleet.Parameters.Autoscaling
	if a.MinReplicas != nil {
		return *a.MinReplicas
	}
	return min(defaultReplicas, a.MaxReplicas)
}

func (f fleet) autoscaler() *autoscalingv2.HorizontalPodAutoscaler {
	a := f.gw.Fleet.Parameters.Autoscaling
	target := int32(defaultCPUTarget)
	if a.TargetCPUUtilization != nil {
		target = *a.TargetCPUUtilization
	}
	return &autoscalingv2.HorizontalPodAutoscaler{
		TypeMeta:   metav1.TypeMeta{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler"},
		ObjectMeta: f.meta(),
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: f.name},
			MinReplicas:    pointer(f.minReplicas()),
			MaxReplicas:    a.MaxReplicas,
			Metrics: []autoscalingv2.MetricSpec{{
				// Of Envoy alone: the drainer beside it idles and would make every proxy look less busy.
				Type: autoscalingv2.ContainerResourceMetricSourceType,
				ContainerResource: &autoscalingv2.ContainerResourceMetricSource{
					Name: corev1.ResourceCPU, Container: envoyContainer,
					Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &target},
				},
			}},
		},
	}
}

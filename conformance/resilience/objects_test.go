package resilience

import (
	"maps"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

const (
	model       = "sim-model"
	simPort     = 8000
	gatewayName = "gw"
)

func ptr[T any](v T) *T { return &v }

// newDeployment is a Deployment of one container whose pods carry the label app with its name.
func newDeployment(namespace, name string, replicas int32, c corev1.Container) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	c.Name = name
	c.ImagePullPolicy = corev1.PullIfNotPresent
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: maps.Clone(labels)},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{c}},
			},
		},
	}
}

// newSims is a Deployment of simulated model servers.
func (in *installation) newSims(namespace string, replicas int32, args ...string) *appsv1.Deployment {
	d := newDeployment(namespace, "sim", replicas, corev1.Container{
		Image: in.image, Command: in.command,
		Args: append([]string{"sim", "--port", strconv.Itoa(simPort), "--model", model}, args...),
		ReadinessProbe: &corev1.Probe{
			PeriodSeconds: 1,
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/health", Port: intstr.FromInt32(simPort)}},
		},
	})
	d.Spec.Template.Spec.TerminationGracePeriodSeconds = ptr(int64(1)) // they end with the test
	return d
}

// newPool is an InferencePool over all simulators of the namespace.
func newPool(namespace, name string, picker *infv1.EndpointPickerRef) *infv1.InferencePool {
	return &infv1.InferencePool{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: infv1.InferencePoolSpec{
			Selector:          infv1.LabelSelector{MatchLabels: map[infv1.LabelKey]infv1.LabelValue{"app": "sim"}},
			TargetPorts:       []infv1.Port{{Number: simPort}},
			EndpointPickerRef: picker,
		},
	}
}

// embeddedPicker names our own picker; only with a reference can a failure mode be given.
func embeddedPicker(mode infv1.EndpointPickerFailureMode) *infv1.EndpointPickerRef {
	return &infv1.EndpointPickerRef{
		Group: ptr(infv1.Group("switchyard.dev")), Kind: "EndpointPicker", Name: "embedded", FailureMode: mode,
	}
}

// foreignPicker names a picker behind a Service of the pool's namespace.
func foreignPicker(service string, mode infv1.EndpointPickerFailureMode) *infv1.EndpointPickerRef {
	return &infv1.EndpointPickerRef{
		Kind: "Service", Name: infv1.ObjectName(service), Port: &infv1.Port{Number: pickerPort}, FailureMode: mode,
	}
}

// hostOf is the hostname that leads to a pool.
func hostOf(pool string) string { return pool + ".example.com" }

// newRoute leads the hostname of a pool to it.
func newRoute(namespace, pool string) *gwv1.HTTPRoute {
	return &gwv1.HTTPRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pool},
		Spec: gwv1.HTTPRouteSpec{
			CommonRouteSpec: gwv1.CommonRouteSpec{ParentRefs: []gwv1.ParentReference{{Name: gatewayName}}},
			Hostnames:       []gwv1.Hostname{gwv1.Hostname(hostOf(pool))},
			Rules: []gwv1.HTTPRouteRule{{BackendRefs: []gwv1.HTTPBackendRef{{BackendRef: gwv1.BackendRef{
				BackendObjectReference: gwv1.BackendObjectReference{
					Group: ptr(gwv1.Group(infv1.GroupVersion.Group)), Kind: ptr(gwv1.Kind("InferencePool")), Name: gwv1.ObjectName(pool),
				},
			}}}}},
		},
	}
}

// newGateway listens on port 80, and with a Secret on port 443 as well. Its fleet takes its parameters from the ConfigMap fleet.
func newGateway(namespace, secret string) *gwv1.Gateway {
	g := &gwv1.Gateway{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: gatewayName},
		Spec: gwv1.GatewaySpec{
			GatewayClassName: gwv1.ObjectName(flags.gatewayClass),
			Listeners:        []gwv1.Listener{{Name: "http", Port: 80, Protocol: gwv1.HTTPProtocolType}},
			Infrastructure: &gwv1.GatewayInfrastructure{
				ParametersRef: &gwv1.LocalParametersReference{Kind: "ConfigMap", Name: "fleet"},
			},
		},
	}
	if secret != "" {
		g.Spec.Listeners = append(g.Spec.Listeners, gwv1.Listener{
			Name: "https", Port: 443, Protocol: gwv1.HTTPSProtocolType,
			TLS: &gwv1.ListenerTLSConfig{CertificateRefs: []gwv1.SecretObjectReference{{Name: gwv1.ObjectName(secret)}}},
		})
	}
	return g
}

func newFleetParameters(namespace string, replicas int) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "fleet"},
		Data:       map[string]string{"fleet.yaml": fleetYAML(replicas)},
	}
}

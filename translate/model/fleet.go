package model

import (
	"encoding/hex"
	"net/netip"
	"time"

	"github.com/zeebo/xxh3"
	corev1 "k8s.io/api/core/v1"
)

// GatewayNameLabel is on every object of a fleet and holds FleetName, or the Gateway's name where that fits
// into a label. It is the label that Gateway API specifies for resources made for a Gateway.
const GatewayNameLabel = "gateway.networking.k8s.io/gateway-name"

// Fleet says how the proxies of a Gateway are to run, where something runs them. It comes from
// spec.infrastructure and spec.addresses of the Gateway and from the parameters that it or its class refers to.
type Fleet struct {
	Labels      map[string]string // spec.infrastructure.labels
	Annotations map[string]string // spec.infrastructure.annotations
	// Address is the one that spec.addresses asks for; the zero value leaves the choice to the platform.
	Address    netip.Addr
	Parameters FleetParameters
}

// ServiceType is how a fleet is reached.
type ServiceType string

const (
	LoadBalancer ServiceType = "LoadBalancer"
	ClusterIP    ServiceType = "ClusterIP"
	NodePort     ServiceType = "NodePort"
)

// FleetParameters are the settings of a fleet in the form in which users write them: YAML under the key
// fleet.yaml of the ConfigMap that a Gateway's spec.infrastructure.parametersRef, or a GatewayClass's
// spec.parametersRef, names. Fields of the Gateway's win over those of its class, each as a whole.
type FleetParameters struct {
	// Replicas is the number of proxies, 2 unless given; not used with Autoscaling.
	Replicas    *int32                       `json:"replicas,omitempty"`
	Autoscaling *Autoscaling                 `json:"autoscaling,omitempty"`
	Image       string                       `json:"image,omitempty"` // of Envoy
	PullPolicy  corev1.PullPolicy            `json:"imagePullPolicy,omitempty"`
	PullSecrets []string                     `json:"imagePullSecrets,omitempty"`
	Service     *FleetService                `json:"service,omitempty"`
	Resources   *corev1.ResourceRequirements `json:"resources,omitempty"`
	// Drain bounds how long a proxy that was told to end waits for its streams, in seconds; default 300.
	DrainSeconds *int32 `json:"drainSeconds,omitempty"`
	// Concurrency is the number of Envoy's worker threads; default: one per core of the CPU limit, else of the node.
	Concurrency               *int32                            `json:"concurrency,omitempty"`
	NodeSelector              map[string]string                 `json:"nodeSelector,omitempty"`
	Tolerations               []corev1.Toleration               `json:"tolerations,omitempty"`
	Affinity                  *corev1.Affinity                  `json:"affinity,omitempty"`
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`
	PriorityClassName         string                            `json:"priorityClassName,omitempty"`
	// MinAvailable is that of the PodDisruptionBudget, 1 unless given.
	MinAvailable *int32 `json:"minAvailable,omitempty"`
}

// Autoscaling asks for a HorizontalPodAutoscaler on CPU.
type Autoscaling struct {
	MinReplicas *int32 `json:"minReplicas,omitempty"` // default 2
	MaxReplicas int32  `json:"maxReplicas"`
	// TargetCPUUtilization is in percent of the request; default 70.
	TargetCPUUtilization *int32 `json:"targetCPUUtilizationPercentage,omitempty"`
}

// FleetService is the Service in front of a fleet.
type FleetService struct {
	Type                  ServiceType                         `json:"type,omitempty"` // default LoadBalancer
	Annotations           map[string]string                   `json:"annotations,omitempty"`
	LoadBalancerClass     *string                             `json:"loadBalancerClass,omitempty"`
	ExternalTrafficPolicy corev1.ServiceExternalTrafficPolicy `json:"externalTrafficPolicy,omitempty"`
}

// maxFleetName leaves room for what Kubernetes appends to names of pods, within 63 bytes.
const maxFleetName = 46

// FleetName names every object of a Gateway's fleet: switchyard-<gateway>, with a hash in place of what is
// too long, or of dots, which names of Services must not have.
func FleetName(gateway string) string {
	name, exact := make([]byte, 0, len(gateway)), len(gateway) <= maxFleetName-len("switchyard-")
	for i := range len(gateway) {
		c := gateway[i]
		if c == '.' {
			c, exact = '-', false
		}
		name = append(name, c)
	}
	if exact {
		return "switchyard-" + gateway
	}
	sum := xxh3.HashString128(gateway).Bytes()
	suffix := "-" + hex.EncodeToString(sum[:5])
	if room := maxFleetName - len("switchyard-") - len(suffix); len(name) > room {
		name = name[:room]
	}
	return "switchyard-" + string(name) + suffix
}

// maxLabelValue is the length in bytes that Kubernetes allows.
const maxLabelValue = 63

// GatewayLabelValue is what GatewayNameLabel holds for a Gateway.
func GatewayLabelValue(gateway string) string {
	if len(gateway) <= maxLabelValue {
		return gateway
	}
	return FleetName(gateway)
}

// DrainTime gives DrainSeconds with its default.
func (p FleetParameters) DrainTime() time.Duration {
	if p.DrainSeconds == nil {
		return 5 * time.Minute
	}
	return time.Duration(*p.DrainSeconds) * time.Second
}

package kubernetes

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/switchyard/switchyard/proxyfleet/drain"
)

// Names of a pod's containers and volumes.
const (
	envoyContainer = "envoy"
	drainContainer = "drain"
	configVolume   = "config"
	identityVolume = "identity"
)

// nonRoot is the user and group of all containers.
const nonRoot = 65532

// endMargin is what a pod has beyond settling and draining: for the answers of the last moment, and for the kubelet.
const endMargin = 15 * time.Second

func (f fleet) podTemplate() corev1.PodTemplateSpec {
	p := f.gw.Fleet.Parameters
	spec := corev1.PodSpec{
		ServiceAccountName:            f.name,
		AutomountServiceAccountToken:  pointer(false),
		EnableServiceLinks:            pointer(false),
		InitContainers:                []corev1.Container{f.envoy()},
		Containers:                    []corev1.Container{f.drainer()},
		TerminationGracePeriodSeconds: pointer(seconds(drain.DefaultSettle + p.DrainTime() + endMargin)),
		NodeSelector:                  p.NodeSelector,
		Tolerations:                   p.Tolerations,
		Affinity:                      p.Affinity,
		TopologySpreadConstraints:     f.spread(),
		PriorityClassName:             p.PriorityClassName,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: pointer(true), RunAsUser: pointer(int64(nonRoot)), RunAsGroup: pointer(int64(nonRoot)),
			FSGroup:        pointer(int64(nonRoot)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			// Listeners bind to the Gateway's own port numbers, without a capability.
			Sysctls: []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}},
		},
		Volumes: []corev1.Volume{
			{Name: configVolume, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: f.name},
			}}},
			{Name: identityVolume, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
				SecretName: f.name, DefaultMode: pointer(int32(0o440)),
			}}},
		},
	}
	for _, name := range p.PullSecrets {
		spec.ImagePullSecrets = append(spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: f.labels(), Annotations: f.annotations(nil)},
		Spec:       spec,
	}
}

// envoy is the proxy: a restartable init container, which the kubelet ends after the drainer has ended.
func (f fleet) envoy() corev1.Container {
	p := f.gw.Fleet.Parameters
	image := p.Image
	if image == "" {
		image = f.opts.ProxyImage
	}
	return corev1.Container{
		Name:            envoyContainer,
		Image:           image,
		ImagePullPolicy: p.PullPolicy,
		RestartPolicy:   pointer(corev1.ContainerRestartPolicyAlways),
		Command:         []string{"/usr/local/bin/envoy"},
		Args:            f.envoyArgs(),
		Env: []corev1.EnvVar{{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"},
		}}},
		Ports: []corev1.ContainerPort{{Name: "ready", ContainerPort: readyPort, Protocol: corev1.ProtocolTCP}},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
				Path: "/ready", Port: intstr.FromInt32(readyPort), Scheme: corev1.URISchemeHTTP,
			}},
			PeriodSeconds: 2, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 2,
		},
		Resources:       envoyResources(p.Resources),
		SecurityContext: restricted(),
		VolumeMounts: []corev1.VolumeMount{
			{Name: configVolume, MountPath: configDir, ReadOnly: true},
			{Name: identityVolume, MountPath: identityDir, ReadOnly: true},
		},
	}
}

func (f fleet) envoyArgs() []string {
	p := f.gw.Fleet.Parameters
	args := []string{
		"-c", configDir + "/" + bootstrapFile,
		"--service-node", "$(POD_NAME)",
		"--service-cluster", f.gw.Key.String(),
		"--disable-hot-restart",
		// A listener that changes or goes lets its connections live as long as a proxy that ends does.
		"--drain-time-s", strconv.FormatInt(max(1, seconds(p.DrainTime())), 10),
		// Access log lines are there soon after their request, not when a buffer is full.
		"--file-flush-interval-msec", "500",
		"--log-level", "warning",
		// Envoy warns of each work-in-progress API on every route that it is sent; ai_protocol_manager is one.
		"--component-log-level", "misc:error",
	}
	if n := f.concurrency(); n > 0 {
		args = append(args, "--concurrency", strconv.FormatInt(n, 10))
	}
	return args
}

// concurrency is the number of worker threads, 0 for Envoy's own choice: one per core of the node.
func (f fleet) concurrency() int64 {
	p := f.gw.Fleet.Parameters
	if p.Concurrency != nil {
		return int64(*p.Concurrency)
	}
	if p.Resources != nil {
		if limit, ok := p.Resources.Limits[corev1.ResourceCPU]; ok {
			return limit.Value() // rounded up
		}
	}
	return 0
}

// drainer waits for the end and then for the proxy's streams, through the admin interface on loopback.
func (f fleet) drainer() corev1.Container {
	p := f.gw.Fleet.Parameters
	return corev1.Container{
		Name:            drainContainer,
		Image:           f.opts.Image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args: []string{
			"drain", "--admin", adminAddress.String(),
			"--settle", drain.DefaultSettle.String(), "--limit", p.DrainTime().String(),
		},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("32Mi"),
			},
			Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")},
		},
		SecurityContext: restricted(),
	}
}

// envoyResources are those of the parameters; a request that they leave out is the default, unless a limit
// stands in for it.
func envoyResources(given *corev1.ResourceRequirements) corev1.ResourceRequirements {
	var out corev1.ResourceRequirements
	if given != nil {
		out = *given.DeepCopy()
	}
	for name, amount := range map[corev1.ResourceName]string{corev1.ResourceCPU: "100m", corev1.ResourceMemory: "128Mi"} {
		_, requested := out.Requests[name]
		_, limited := out.Limits[name]
		if requested || limited {
			continue
		}
		if out.Requests == nil {
			out.Requests = corev1.ResourceList{}
		}
		out.Requests[name] = resource.MustParse(amount)
	}
	return out
}

// restricted is what the Pod Security Standard of that name asks of a container, and a read-only root.
func restricted() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: pointer(false),
		ReadOnlyRootFilesystem:   pointer(true),
		RunAsNonRoot:             pointer(true),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

// spread is that of the parameters, with our selector where they name none; by default over nodes, as far as
// there are any.
func (f fleet) spread() []corev1.TopologySpreadConstraint {
	selector := &metav1.LabelSelector{MatchLabels: f.selector()}
	given := f.gw.Fleet.Parameters.TopologySpreadConstraints
	if given == nil {
		return []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: selector,
		}}
	}
	out := make([]corev1.TopologySpreadConstraint, 0, len(given))
	for _, c := range given {
		c = *c.DeepCopy()
		if c.LabelSelector == nil {
			c.LabelSelector = selector
		}
		out = append(out, c)
	}
	return out
}

func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

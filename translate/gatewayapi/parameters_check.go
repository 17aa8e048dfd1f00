package gatewayapi

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/switchyard/switchyard/translate/model"
)

// maxDrainSeconds bounds how long a proxy that was told to end may go on.
const maxDrainSeconds = 3600

// checkParameters finds what Kubernetes would refuse, or what could never work, before a fleet is made of it.
func checkParameters(p *model.FleetParameters) []finding {
	c := &parameterChecks{}
	c.checkReplicas(p)
	c.checkPod(p)
	if p.Service != nil {
		c.checkService(p.Service)
	}
	if p.Resources != nil {
		c.checkResources(p.Resources)
	}
	c.checkPlacement(p)
	return c.wrong
}

type parameterChecks struct{ wrong []finding }

func (c *parameterChecks) add(field, format string, args ...any) {
	c.wrong = append(c.wrong, invalidParameters(format, args...).in(field))
}

// number checks an optional number against its bounds.
func (c *parameterChecks) number(field string, value *int32, least, most int32) {
	switch {
	case value == nil:
	case *value < least:
		c.add(field, "%d is too small; the least is %d", *value, least)
	case *value > most:
		c.add(field, "%d is too large; the most is %d", *value, most)
	}
}

// oneOf checks an optional word.
func oneOf[T ~string](c *parameterChecks, field string, value T, known ...T) {
	if value != "" && !slices.Contains(known, value) {
		words := make([]string, len(known))
		for i, k := range known {
			words[i] = string(k)
		}
		c.add(field, "%q is not known; use one of %s", value, strings.Join(words, ", "))
	}
}

// manyProxies is far above any fleet of one Gateway; a number beyond it is a slip of the finger.
const manyProxies = 10_000

func (c *parameterChecks) checkReplicas(p *model.FleetParameters) {
	c.number("replicas", p.Replicas, 0, manyProxies)
	c.number("minAvailable", p.MinAvailable, 0, manyProxies)
	a := p.Autoscaling
	if a == nil {
		return
	}
	if p.Replicas != nil {
		c.add("replicas", "autoscaling sets the number of proxies; remove one of the two")
	}
	c.number("autoscaling.minReplicas", a.MinReplicas, 1, manyProxies)
	c.number("autoscaling.maxReplicas", &a.MaxReplicas, 1, manyProxies)
	c.number("autoscaling.targetCPUUtilizationPercentage", a.TargetCPUUtilization, 1, 1000)
	if least := valueOr(a.MinReplicas, 2); a.MaxReplicas >= 1 && a.MaxReplicas < least {
		c.add("autoscaling.maxReplicas", "%d is less than minReplicas, which is %d%s; change one of the two",
			a.MaxReplicas, least, map[bool]string{true: " unless given"}[a.MinReplicas == nil])
	}
}

func (c *parameterChecks) checkPod(p *model.FleetParameters) {
	if strings.ContainsAny(p.Image, " \t\r\n") {
		c.add("image", "%q has a space in it; write it like docker.io/envoyproxy/envoy:distroless-v1.40.0", p.Image)
	}
	oneOf(c, "imagePullPolicy", p.PullPolicy, corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
	for i, name := range p.PullSecrets {
		c.name(at("imagePullSecrets", i), name)
	}
	if p.PriorityClassName != "" {
		c.name("priorityClassName", p.PriorityClassName)
	}
	c.number("drainSeconds", p.DrainSeconds, 0, maxDrainSeconds)
	c.number("concurrency", p.Concurrency, 1, 1024)
}

// name checks the name of an object.
func (c *parameterChecks) name(field, name string) {
	if wrong := validation.IsDNS1123Subdomain(name); len(wrong) > 0 {
		c.add(field, "%q cannot be the name of an object: %s", name, brief(wrong))
	}
}

// brief leaves the examples and expressions out of what Kubernetes says of a name.
func brief(wrong []string) string {
	text, _, _ := strings.Cut(wrong[0], " (e.g.")
	return text
}

// key checks a key of labels or annotations.
func (c *parameterChecks) key(field, key string) {
	if wrong := validation.IsQualifiedName(key); len(wrong) > 0 {
		c.add(field, "%q is not a key: %s", key, brief(wrong))
	}
}

func (c *parameterChecks) checkService(s *model.FleetService) {
	oneOf(c, "service.type", s.Type, model.LoadBalancer, model.ClusterIP, model.NodePort)
	oneOf(c, "service.externalTrafficPolicy", s.ExternalTrafficPolicy,
		corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal)
	if s.ExternalTrafficPolicy != "" && s.Type == model.ClusterIP {
		c.add("service.externalTrafficPolicy", "a Service of type ClusterIP has no traffic from outside; remove the field")
	}
	if s.LoadBalancerClass != nil {
		if s.Type != "" && s.Type != model.LoadBalancer {
			c.add("service.loadBalancerClass", "only a Service of type LoadBalancer has one; remove the field")
		}
		c.key("service.loadBalancerClass", *s.LoadBalancerClass)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Annotations)) {
		c.key("service.annotations", key)
		if reserved := reservedDomain(key, reservedAnnotations); reserved != "" {
			c.add("service.annotations", "%s: keys of %s are set by Switchyard or Kubernetes itself; remove it", key, reserved)
		}
	}
}

func (c *parameterChecks) checkResources(r *corev1.ResourceRequirements) {
	for _, list := range []struct {
		name    string
		amounts corev1.ResourceList
	}{{"limits", r.Limits}, {"requests", r.Requests}} {
		for _, name := range slices.Sorted(maps.Keys(list.amounts)) {
			if q := list.amounts[name]; q.Sign() < 0 {
				c.add("resources."+list.name+"."+string(name), "%s is negative", q.String())
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Requests)) {
		request := r.Requests[name]
		if limit, ok := r.Limits[name]; ok && request.Cmp(limit) > 0 {
			c.add("resources.requests."+string(name), "%s is more than the limit, %s; lower it or raise the limit", request.String(), limit.String())
		}
	}
}

// checkPlacement looks at where pods may run. Affinity is left to the API server, which knows it best.
func (c *parameterChecks) checkPlacement(p *model.FleetParameters) {
	for _, key := range slices.Sorted(maps.Keys(p.NodeSelector)) {
		c.key("nodeSelector", key)
		if wrong := validation.IsValidLabelValue(p.NodeSelector[key]); len(wrong) > 0 {
			c.add("nodeSelector", "%s: %q is not the value of a label: %s", key, p.NodeSelector[key], brief(wrong))
		}
	}
	for i, t := range p.Tolerations {
		field := at("tolerations", i)
		oneOf(c, field+".operator", t.Operator, corev1.TolerationOpExists, corev1.TolerationOpEqual)
		oneOf(c, field+".effect", t.Effect, corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)
		if t.Key == "" && t.Operator != corev1.TolerationOpExists {
			c.add(field+".operator", "without a key it has to be Exists")
		}
	}
	for i, s := range p.TopologySpreadConstraints {
		field := at("topologySpreadConstraints", i)
		c.number(field+".maxSkew", &s.MaxSkew, 1, manyProxies)
		if s.TopologyKey == "" {
			c.add(field+".topologyKey", "name a label of nodes, such as topology.kubernetes.io/zone")
		}
		if s.WhenUnsatisfiable == "" {
			c.add(field+".whenUnsatisfiable", "say DoNotSchedule or ScheduleAnyway")
		}
		oneOf(c, field+".whenUnsatisfiable", s.WhenUnsatisfiable, corev1.DoNotSchedule, corev1.ScheduleAnyway)
	}
}

package file

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/switchyard/switchyard/internal/source"
)

// Defaults and checks of the core kinds, as far as this control plane reads their fields. A Pod's
// containers, for one, are the kubelet's business.

func settleService(s *corev1.Service) {
	if s.Spec.Type == "" {
		s.Spec.Type = corev1.ServiceTypeClusterIP
	}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		if p.TargetPort == (intstr.IntOrString{}) {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
}

func checkService(s *corev1.Service) []source.Problem {
	var c checks
	names, ports := map[string]bool{}, map[string]bool{}
	for i, p := range s.Spec.Ports {
		at := fmt.Sprintf("spec.ports[%d]", i)
		c.port(at+".port", p.Port)
		if p.TargetPort.Type == intstr.Int {
			c.port(at+".targetPort", p.TargetPort.IntVal)
		} else if wrong := validation.IsValidPortName(p.TargetPort.StrVal); len(wrong) > 0 {
			c.add(at+".targetPort", fmt.Sprintf("%q is not a port name: %s", p.TargetPort.StrVal, wrong[0]), "give a port number or the name of a container port")
		}
		c.protocol(at+".protocol", p.Protocol)
		if p.Name == "" && len(s.Spec.Ports) > 1 {
			c.add(at+".name", "required when a Service has several ports", "add a name")
		}
		if p.Name != "" {
			c.label(at+".name", p.Name)
		}
		c.once(names, at+".name", p.Name, "give each port its own name")
		c.once(ports, at+".port", fmt.Sprintf("%d/%s", p.Port, p.Protocol), "name each port and protocol once")
	}
	if len(s.Spec.Ports) == 0 && s.Spec.Type != corev1.ServiceTypeExternalName && s.Spec.ClusterIP != corev1.ClusterIPNone {
		c.add("spec.ports", "required, but missing", "add a port")
	}
	return c.problems
}

func settleEndpointSlice(s *discoveryv1.EndpointSlice) {
	for i := range s.Ports {
		p := &s.Ports[i]
		if p.Name == nil {
			p.Name = new("")
		}
		if p.Protocol == nil {
			p.Protocol = new(corev1.ProtocolTCP)
		}
	}
}

func checkEndpointSlice(s *discoveryv1.EndpointSlice) []source.Problem {
	var c checks
	switch s.AddressType {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN:
	case "":
		c.add("addressType", "required, but missing", "add it: IPv4, IPv6 or FQDN")
		return c.problems
	default:
		c.add("addressType", fmt.Sprintf("%q is not an address type", s.AddressType), "write IPv4, IPv6 or FQDN")
		return c.problems
	}
	for i, e := range s.Endpoints {
		at := fmt.Sprintf("endpoints[%d].addresses", i)
		if len(e.Addresses) == 0 {
			c.add(at, "required, but missing", "add an address")
		}
		for j, a := range e.Addresses {
			c.address(fmt.Sprintf("%s[%d]", at, j), a, s.AddressType)
		}
	}
	names := map[string]bool{}
	for i, p := range s.Ports {
		at := fmt.Sprintf("ports[%d]", i)
		if p.Port != nil {
			c.port(at+".port", *p.Port)
		}
		c.protocol(at+".protocol", *p.Protocol)
		if *p.Name != "" {
			c.label(at+".name", *p.Name)
		}
		if names[*p.Name] {
			c.add(at+".name", fmt.Sprintf("%q is there twice", *p.Name), "give each port its own name")
		}
		names[*p.Name] = true
	}
	return c.problems
}

func settlePod(p *corev1.Pod) {
	for i := range p.Spec.Containers {
		for j := range p.Spec.Containers[i].Ports {
			port := &p.Spec.Containers[i].Ports[j]
			if port.Protocol == "" {
				port.Protocol = corev1.ProtocolTCP
			}
		}
	}
}

func checkPod(p *corev1.Pod) []source.Problem {
	var c checks
	for i, container := range p.Spec.Containers {
		for j, port := range container.Ports {
			at := fmt.Sprintf("spec.containers[%d].ports[%d]", i, j)
			c.port(at+".containerPort", port.ContainerPort)
			c.protocol(at+".protocol", port.Protocol)
		}
	}
	if ip := p.Status.PodIP; ip != "" {
		if _, err := netip.ParseAddr(ip); err != nil {
			c.add("status.podIP", fmt.Sprintf("%q is not an IP address", ip), "write an address such as 10.0.0.7")
		}
	}
	return c.problems
}

// settleSecret merges stringData into data, as the API server does on writing.
func settleSecret(s *corev1.Secret) {
	if s.Type == "" {
		s.Type = corev1.SecretTypeOpaque
	}
	if len(s.StringData) == 0 {
		s.StringData = nil
		return
	}
	data := maps.Clone(s.Data)
	if data == nil {
		data = make(map[string][]byte, len(s.StringData))
	}
	for k, v := range s.StringData {
		data[k] = []byte(v)
	}
	s.Data, s.StringData = data, nil
}

func checkSecret(s *corev1.Secret) []source.Problem {
	var c checks
	for _, k := range sortedKeys(s.Data) {
		c.dataKey("data", k)
	}
	if s.Type == corev1.SecretTypeTLS {
		c.keyPair(s.Data)
	}
	return c.problems
}

// keyPair checks what an API server does not: that certificate and key are there, can be read and belong together. A slip
// while they are replaced would otherwise close a listener that is serving.
func (c *checks) keyPair(data map[string][]byte) {
	complete := true
	for _, k := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
		if _, ok := data[k]; !ok {
			c.add("data["+k+"]", "required in a Secret of type kubernetes.io/tls, but missing", "add it")
			complete = false
		}
	}
	if !complete {
		return
	}
	if _, err := tls.X509KeyPair(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey]); err != nil {
		c.add("data", "not a certificate with its key: "+err.Error(), "give tls.crt and tls.key that belong together, both PEM")
	}
}

func checkConfigMap(m *corev1.ConfigMap) []source.Problem {
	var c checks
	for _, k := range sortedKeys(m.Data) {
		c.dataKey("data", k)
	}
	for _, k := range sortedKeys(m.BinaryData) {
		c.dataKey("binaryData", k)
		if _, twice := m.Data[k]; twice {
			c.add("binaryData["+k+"]", "the key is in data, too", "keep one of the two")
		}
	}
	return c.problems
}

// settleNamespace adds the label that the API server puts on every namespace; selectors rely on it.
func settleNamespace(n *corev1.Namespace) {
	labels := maps.Clone(n.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[corev1.LabelMetadataName] = n.Name
	n.Labels = labels
}

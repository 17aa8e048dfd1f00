package file

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/switchyard/switchyard/internal/source"
)

// checks collects what is wrong with one object.
type checks struct{ problems []source.Problem }

func (c *checks) add(field, message, fix string) {
	c.problems = append(c.problems, source.Problem{Field: field, Message: message, Fix: fix})
}

// rule cuts the regular expression off the sentence of an apimachinery check.
func rule(sentence string) string {
	sentence, _, _ = strings.Cut(sentence, " (e.g.")
	return sentence
}

func (c *checks) port(field string, n int32) {
	if n < 1 || n > 65535 {
		c.add(field, fmt.Sprintf("%d is not a port", n), "give a number from 1 to 65535")
	}
}

func (c *checks) protocol(field string, p corev1.Protocol) {
	if !slices.Contains([]corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}, p) {
		c.add(field, fmt.Sprintf("%q is not a protocol", p), "write TCP, UDP or SCTP")
	}
}

func (c *checks) label(field, name string) {
	for _, wrong := range validation.IsDNS1123Label(name) {
		c.add(field, fmt.Sprintf("%q is not a name: %s", name, rule(wrong)), "use lower-case letters, digits and '-'")
	}
}

// once complains about a value that was seen before; the empty value does not count.
func (c *checks) once(seen map[string]bool, field, value, fix string) {
	if value == "" {
		return
	}
	if seen[value] {
		c.add(field, fmt.Sprintf("%q is there twice", value), fix)
	}
	seen[value] = true
}

func (c *checks) address(field, address string, of discoveryv1.AddressType) {
	if of == discoveryv1.AddressTypeFQDN {
		for _, wrong := range validation.IsDNS1123Subdomain(strings.TrimSuffix(address, ".")) {
			c.add(field, fmt.Sprintf("%q is not a host name: %s", address, rule(wrong)), "write a fully qualified name")
		}
		return
	}
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Zone() != "" || ip.Is4() != (of == discoveryv1.AddressTypeIPv4) {
		c.add(field, fmt.Sprintf("%q is not an %s address", address, of), "write an address of the slice's addressType")
	}
}

func (c *checks) dataKey(field, key string) {
	for _, wrong := range validation.IsConfigMapKey(key) {
		c.add(field+"["+key+"]", fmt.Sprintf("%q is not a key: %s", key, rule(wrong)), "use letters, digits, '-', '_' and '.'")
	}
}

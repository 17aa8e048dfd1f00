package gatewayapi

import (
	"cmp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/translate/model"
)

// listener is one listener of a Gateway of ours with what was found out about it. Only an accepted listener
// owns its hostname on its port; only a served one makes configuration.
type listener struct {
	spec     *gwv1.Listener
	field    string // spec.listeners[i]
	hostname hostname
	protocol model.Protocol

	refused  finding // why it is not accepted
	conflict finding // why it is in conflict with another one; also in refused
	refs     finding // what does not resolve
	overlap  finding // which TLS listeners share hosts with it

	kinds    []gwv1.RouteGroupKind // never nil: an empty list must show as one
	secrets  []*resolvedSecret     // usable ones, in the order of certificateRefs
	admits   func(namespace string) bool
	attached []*route // routes that apply here, ordered by namespace and name
	accepted int32    // those of them that are accepted
}

func (l *listener) name() string { return string(l.spec.Name) }

// served tells whether clients can reach the listener.
func (l *listener) served() bool {
	return !l.refused.found() && len(l.kinds) > 0 && (l.protocol == model.HTTP || len(l.secrets) > 0)
}

// allows tells whether HTTPRoutes of the namespace may attach.
func (l *listener) allows(namespace string) bool { return len(l.kinds) > 0 && l.admits(namespace) }

// readListener checks one listener on its own; conflicts with its neighbours come later.
func (x *index) readListener(g *gwv1.Gateway, i int) *listener {
	spec := &g.Spec.Listeners[i]
	l := &listener{
		spec:     spec,
		field:    at("spec.listeners", i),
		hostname: parseHostname(string(valueOr(spec.Hostname, ""))),
		kinds:    []gwv1.RouteGroupKind{},
		admits:   func(string) bool { return false },
	}
	switch spec.Protocol {
	case gwv1.HTTPProtocolType:
		l.protocol = model.HTTP
	case gwv1.HTTPSProtocolType:
		l.protocol = model.HTTPS
		l.refused = checkTLSSettings(g, spec, l.field)
		x.readCertificates(g, l)
	default:
		l.refused = find(string(gwv1.ListenerReasonUnsupportedProtocol),
			"protocol %s is not supported; use HTTP or HTTPS", spec.Protocol).in(l.field + ".protocol")
		return l
	}
	l.readKinds()
	admits, wrong := x.readNamespaces(g, spec)
	if wrong.found() {
		l.refused = wrong.in(l.field + ".allowedRoutes.namespaces.selector")
	} else {
		l.admits = admits
	}
	return l
}

// checkTLSSettings finds TLS settings that are not supported. To ignore one would make the listener weaker
// than what was asked for, so it is refused instead.
func checkTLSSettings(g *gwv1.Gateway, spec *gwv1.Listener, field string) finding {
	unsupported := string(gwv1.ListenerReasonUnsupportedValue)
	if spec.TLS != nil {
		if mode := valueOr(spec.TLS.Mode, gwv1.TLSModeTerminate); mode != gwv1.TLSModeTerminate {
			return find(unsupported, "%s is not supported for HTTPS; use Terminate", mode).in(field + ".tls.mode")
		}
		if len(spec.TLS.Options) > 0 {
			keys := make([]string, 0, len(spec.TLS.Options))
			for k := range spec.TLS.Options {
				keys = append(keys, string(k))
			}
			slices.Sort(keys)
			return find(unsupported, "%s: no option is supported; remove them", strings.Join(keys, ", ")).in(field + ".tls.options")
		}
	}
	if validation, field := frontendValidation(g, spec.Port); validation != nil {
		return find(unsupported, "validation of client certificates is not supported yet; "+
			"the listener stays closed rather than letting every client in").in(field)
	}
	return finding{}
}

// frontendValidation gives the client certificate validation that holds for a port, and its field.
func frontendValidation(g *gwv1.Gateway, port gwv1.PortNumber) (*gwv1.FrontendTLSValidation, string) {
	if g.Spec.TLS == nil || g.Spec.TLS.Frontend == nil {
		return nil, ""
	}
	frontend := g.Spec.TLS.Frontend
	for i, p := range frontend.PerPort {
		if p.Port == port {
			return p.TLS.Validation, at("spec.tls.frontend.perPort", i) + ".tls.validation"
		}
	}
	return frontend.Default.Validation, "spec.tls.frontend.default.validation"
}

// readCertificates keeps the certificates that can be used: a bad one beside a good one takes nothing down.
func (x *index) readCertificates(g *gwv1.Gateway, l *listener) {
	field := l.field + ".tls.certificateRefs"
	if l.spec.TLS == nil || len(l.spec.TLS.CertificateRefs) == 0 {
		l.refs = find(string(gwv1.ListenerReasonInvalidCertificateRef),
			"an HTTPS listener needs a certificate; name a Secret of type kubernetes.io/tls").in(field)
		return
	}
	var wrong []finding
	for i, ref := range l.spec.TLS.CertificateRefs {
		s := x.resolveCertificate(g, ref)
		if s.finding.found() {
			wrong = append(wrong, s.finding.in(at(field, i)))
		} else if !slices.Contains(l.secrets, s) {
			l.secrets = append(l.secrets, s)
		}
	}
	l.refs = merge(wrong)
}

// readKinds keeps the kinds of routes that are both asked for and supported.
func (l *listener) readKinds() {
	group := gwv1.Group(gatewayGroup)
	httpRoute := gwv1.RouteGroupKind{Group: &group, Kind: "HTTPRoute"}
	if l.spec.AllowedRoutes == nil || len(l.spec.AllowedRoutes.Kinds) == 0 {
		l.kinds = append(l.kinds, httpRoute)
		return
	}
	var wrong []finding
	for i, k := range l.spec.AllowedRoutes.Kinds {
		if valueOr(k.Group, group) != group || k.Kind != httpRoute.Kind {
			wrong = append(wrong, find(string(gwv1.ListenerReasonInvalidRouteKinds),
				"kind %s of group %s is not supported on a listener of protocol %s; use HTTPRoute",
				k.Kind, valueOr(k.Group, group), l.spec.Protocol).in(at(l.field+".allowedRoutes.kinds", i)))
		} else if len(l.kinds) == 0 {
			l.kinds = append(l.kinds, httpRoute)
		}
	}
	if len(wrong) > 0 && !l.refs.found() {
		l.refs = merge(wrong)
	}
}

// readNamespaces gives the test for the namespaces whose routes may attach; it remembers its answers.
func (x *index) readNamespaces(g *gwv1.Gateway, spec *gwv1.Listener) (func(string) bool, finding) {
	from := gwv1.NamespacesFromSame
	var selector *metav1.LabelSelector
	if spec.AllowedRoutes != nil && spec.AllowedRoutes.Namespaces != nil {
		from = valueOr(spec.AllowedRoutes.Namespaces.From, gwv1.NamespacesFromSame)
		selector = spec.AllowedRoutes.Namespaces.Selector
	}
	switch from {
	case gwv1.NamespacesFromAll:
		return func(string) bool { return true }, finding{}
	case gwv1.NamespacesFromSame:
		return func(ns string) bool { return ns == g.Namespace }, finding{}
	case gwv1.NamespacesFromSelector:
		matches, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			return nil, find(string(gwv1.ListenerReasonUnsupportedValue), "the selector is not valid: %v", err)
		}
		return x.rememberNamespaces(matches), finding{}
	default:
		return func(string) bool { return false }, finding{}
	}
}

func (x *index) rememberNamespaces(matches labels.Selector) func(string) bool {
	seen := map[string]bool{}
	return func(ns string) bool {
		yes, ok := seen[ns]
		if !ok {
			yes = matches.Matches(x.namespaceLabels(ns))
			seen[ns] = yes
		}
		return yes
	}
}

// findConflicts refuses every listener that cannot be told apart from another one of the same port: none of
// them wins. Listeners of unsupported protocols take no part.
func findConflicts(listeners []*listener) {
	for _, group := range groupByPort(listeners) {
		for _, l := range group {
			l.conflict = conflictOf(l, group)
		}
		for _, l := range group {
			if l.conflict.found() {
				l.refused = l.conflict
			} else if l.protocol == model.HTTPS {
				l.overlap = overlapOf(l, group)
			}
		}
	}
}

func conflictOf(l *listener, group []*listener) finding {
	for _, o := range group {
		if o != l && o.protocol != l.protocol {
			return find(string(gwv1.ListenerReasonProtocolConflict),
				"port %d is used for %s here and for %s by listener %s; a port has one protocol",
				l.spec.Port, l.spec.Protocol, o.spec.Protocol, o.name())
		}
	}
	for _, o := range group {
		if o != l && o.hostname == l.hostname {
			return find(string(gwv1.ListenerReasonHostnameConflict),
				"listener %s has the same port %d and hostname %s; change one of them", o.name(), l.spec.Port, l.hostname)
		}
	}
	return finding{}
}

// overlapOf names the listeners whose hosts a client may ask for over a connection made for this one.
func overlapOf(l *listener, group []*listener) finding {
	var names []string
	for _, o := range group {
		if _, meets := intersect(l.hostname, o.hostname); o != l && meets && !o.conflict.found() {
			names = append(names, o.name())
		}
	}
	if len(names) == 0 {
		return finding{}
	}
	return find(string(gwv1.ListenerReasonOverlappingHostnames),
		"hostname %s overlaps with listener %s; a request on a connection of another listener is answered 421",
		l.hostname, strings.Join(names, ", "))
}

// groupByPort gives the listeners of supported protocols by port, ports in ascending order.
func groupByPort(listeners []*listener) [][]*listener {
	byPort := map[gwv1.PortNumber][]*listener{}
	for _, l := range listeners {
		if l.refused.reason != string(gwv1.ListenerReasonUnsupportedProtocol) {
			byPort[l.spec.Port] = append(byPort[l.spec.Port], l)
		}
	}
	groups := make([][]*listener, 0, len(byPort))
	for _, group := range byPort {
		groups = append(groups, group)
	}
	slices.SortFunc(groups, func(a, b []*listener) int { return cmp.Compare(a[0].spec.Port, b[0].spec.Port) })
	return groups
}

// status reports on the listener.
func (l *listener) status(generation int64) gwv1.ListenerStatus {
	c := conditions{generation: generation}
	c.addUnless(l.refused, string(gwv1.ListenerConditionAccepted), string(gwv1.ListenerReasonAccepted), "the listener is valid")
	if l.conflict.found() {
		c.add(string(gwv1.ListenerConditionConflicted), metav1.ConditionTrue, l.conflict.reason, l.conflict.text())
	} else {
		c.add(string(gwv1.ListenerConditionConflicted), metav1.ConditionFalse,
			string(gwv1.ListenerReasonNoConflicts), "no other listener has the same port, protocol and hostname")
	}
	if l.overlap.found() {
		c.add(string(gwv1.ListenerConditionOverlappingTLSConfig), metav1.ConditionTrue, l.overlap.reason, l.overlap.text())
	}
	c.addUnless(l.unserved(), string(gwv1.ListenerConditionProgrammed),
		string(gwv1.ListenerReasonProgrammed), "the listener is part of the proxies' configuration")
	c.addUnless(l.refs, string(gwv1.ListenerConditionResolvedRefs),
		string(gwv1.ListenerReasonResolvedRefs), "every reference resolves")
	return gwv1.ListenerStatus{
		Name:           l.spec.Name,
		SupportedKinds: l.kinds,
		AttachedRoutes: l.accepted,
		Conditions:     c.list,
	}
}

// unserved says why clients cannot reach the listener.
func (l *listener) unserved() finding {
	switch {
	case l.served():
		return finding{}
	case l.conflict.found():
		return l.conflict
	case l.refused.found():
		return finding{reason: string(gwv1.ListenerReasonInvalid), message: l.refused.text()}
	default:
		return finding{reason: string(gwv1.ListenerReasonInvalid), message: l.refs.text()}
	}
}

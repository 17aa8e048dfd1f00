package gatewayapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// renderer writes a Result as text that shows every field of it.
type renderer struct{ strings.Builder }

func render(r *Result) string {
	w := &renderer{}
	for _, g := range r.Gateways {
		w.gateway(g)
	}
	if r.Pickers != nil {
		w.line(0, "pickers %s, ending %s", addresses(r.Pickers), addresses(r.EndingPickers))
	}
	w.statuses(&r.Statuses)
	w.rules(&r.Statuses)
	return w.String()
}

func (w *renderer) line(indent int, format string, args ...any) {
	w.WriteString(strings.TrimRight(strings.Repeat("  ", indent)+fmt.Sprintf(format, args...), " "))
	w.WriteByte('\n')
}

func (w *renderer) gateway(g *model.Gateway) {
	w.line(0, "gateway %s (%s)", g.Key, g.Source)
	w.fleet(&g.Fleet)
	for _, p := range g.Ports {
		protocol := map[model.Protocol]string{model.HTTP: "HTTP", model.HTTPS: "HTTPS"}[p.Protocol]
		w.line(1, "port %d %s %v", p.Number, protocol, p.Sources)
		for _, c := range p.Chains {
			w.line(2, "chain sni=%q secrets=%v", c.SNI, c.Secrets)
			for _, h := range c.Hosts {
				w.line(3, "host %s", h.Name)
				for i := range h.Rules {
					w.rule(&h.Rules[i])
				}
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(g.Backends)) {
		w.backend(g.Backends[id])
	}
	for _, id := range slices.Sorted(maps.Keys(g.Secrets)) {
		s := g.Secrets[id]
		w.line(1, "secret %s (%s) cert=%dB key=%dB", s.ID, s.Source, len(s.Cert), len(s.Key))
	}
}

// fleet shows nothing of a fleet about which nothing is said.
func (w *renderer) fleet(f *model.Fleet) {
	if f.Address.IsValid() {
		w.line(1, "fleet address %s", f.Address)
	}
	if f.Labels != nil || f.Annotations != nil {
		w.line(1, "fleet labels=%v annotations=%v", f.Labels, f.Annotations)
	}
	parameters, err := json.Marshal(f.Parameters)
	if err != nil {
		panic(err)
	}
	if string(parameters) != "{}" {
		w.line(1, "fleet parameters %s", parameters)
	}
}

func (w *renderer) backend(b model.Backend) {
	protocol := map[model.AppProtocol]string{model.HTTP1: "http1", model.H2C: "h2c", model.WebSocket: "websocket"}[b.Protocol]
	w.line(1, "backend %s (%s) %s %s", b.ID, b.Source, protocol, addresses(b.Endpoints))
	if p := b.Pool; p != nil {
		w.line(2, "pool %s failClose=%v", p.Key, p.FailClose)
		if p.Picker != nil {
			transport := map[bool]string{true: " plaintext"}[p.Picker.Plaintext]
			ending := ""
			if len(p.Picker.Ending) > 0 {
				ending = ", ending " + addresses(p.Picker.Ending)
			}
			w.line(2, "picker %s (%s)%s %s%s", p.Picker.ID, p.Picker.Source, transport, addresses(p.Picker.Endpoints), ending)
		}
	}
}

func addresses(list []netip.AddrPort) string {
	if len(list) == 0 {
		return "no endpoints"
	}
	return fmt.Sprint(list)
}

func (w *renderer) rule(r *model.Rule) {
	w.line(4, "%s (%s)", r.Name, r.Source)
	w.line(5, "match %s", renderMatch(r.Match))
	w.filters(5, r.Filters)
	switch a := r.Action; {
	case a.Forward != nil:
		w.line(5, "forward timeout=%s backendTimeout=%s", renderTimeout(a.Forward.Timeout), renderTimeout(a.Forward.BackendTimeout))
		for _, t := range a.Forward.Targets {
			name := t.Backend
			if name == "" {
				name = "unresolved: 500"
			}
			w.line(6, "%d %s", t.Weight, name)
			w.filters(7, t.Filters)
		}
	case a.Redirect != nil:
		d := a.Redirect
		w.line(5, "redirect %d scheme=%q host=%q port=%d path=%s", d.Status, d.Scheme, d.Host, d.Port, renderPathEdit(d.Path))
	case a.Reply != nil:
		w.line(5, "reply %d %q", a.Reply.Status, a.Reply.Body)
	default:
		w.line(5, "NO ACTION")
	}
}

func renderMatch(m model.Match) string {
	parts := []string{"path " + renderValue(m.Path)}
	if m.Method != "" {
		parts = append(parts, "method "+m.Method)
	}
	for _, h := range m.Headers {
		parts = append(parts, "header "+h.Name+" "+renderValue(h.ValueMatch))
	}
	for _, q := range m.Query {
		parts = append(parts, "query "+q.Name+" "+renderValue(q.ValueMatch))
	}
	return strings.Join(parts, ", ")
}

func renderValue(v model.ValueMatch) string {
	return map[model.MatchKind]string{model.Exact: "=", model.PathPrefix: "prefix ", model.Regex: "~"}[v.Kind] + v.Value
}

func (w *renderer) filters(indent int, f model.Filters) {
	w.edits(indent, "request", f.RequestHeaders)
	w.edits(indent, "response", f.ResponseHeaders)
	if f.Rewrite != (model.Rewrite{}) {
		w.line(indent, "rewrite host=%q path=%s", f.Rewrite.Host, renderPathEdit(f.Rewrite.Path))
	}
}

func (w *renderer) edits(indent int, side string, e model.HeaderEdits) {
	if len(e.Set)+len(e.Add)+len(e.Remove) > 0 {
		w.line(indent, "%s headers remove=%v set=%v add=%v", side, e.Remove, e.Set, e.Add)
	}
}

func renderPathEdit(p model.PathEdit) string {
	switch p.Kind {
	case model.ReplaceFullPath:
		return fmt.Sprintf("full %q", p.Value)
	case model.ReplacePrefix:
		return fmt.Sprintf("prefix %q", p.Value)
	default:
		return "keep"
	}
}

func renderTimeout(t model.Timeout) string {
	switch t.Kind {
	case model.NoTimeout:
		return "off"
	case model.LimitedTimeout:
		return t.Value.String()
	default:
		return "default"
	}
}

func (w *renderer) statuses(s *Statuses) {
	for _, k := range sortKeys(s.GatewayClasses) {
		w.line(0, "status GatewayClass%s (%d features)", k, len(s.GatewayClasses[k].SupportedFeatures))
		w.conditions(1, s.GatewayClasses[k].Conditions)
	}
	for _, k := range sortKeys(s.Gateways) {
		w.line(0, "status Gateway %s", k)
		for _, a := range s.Gateways[k].Addresses {
			w.line(1, "address %s %s", *a.Type, a.Value)
		}
		w.conditions(1, s.Gateways[k].Conditions)
		for _, l := range s.Gateways[k].Listeners {
			kinds := []string{}
			for _, kind := range l.SupportedKinds {
				kinds = append(kinds, string(*kind.Group)+"/"+string(kind.Kind))
			}
			if l.SupportedKinds == nil {
				kinds = []string{"NIL"}
			}
			w.line(1, "listener %s attachedRoutes=%d supportedKinds=%v", l.Name, l.AttachedRoutes, kinds)
			w.conditions(2, l.Conditions)
		}
	}
	for _, k := range sortKeys(s.HTTPRoutes) {
		w.line(0, "status HTTPRoute %s", k)
		for _, p := range s.HTTPRoutes[k].Parents {
			w.line(1, "parent %s by %s", renderParent(p.ParentRef.Namespace, p.ParentRef.Name, p.ParentRef.SectionName, p.ParentRef.Port), p.ControllerName)
			w.conditions(2, p.Conditions)
		}
	}
	for _, k := range sortKeys(s.InferencePools) {
		w.line(0, "status InferencePool %s", k)
		for _, p := range s.InferencePools[k].Parents {
			w.line(1, "parent %s %s %s/%s by %s", *p.ParentRef.Group, p.ParentRef.Kind, p.ParentRef.Namespace, p.ParentRef.Name, p.ControllerName)
			w.conditions(2, p.Conditions)
		}
	}
}

func (w *renderer) rules(s *Statuses) {
	for _, k := range sortKeys(s.InferenceObjectives) {
		w.line(0, "status InferenceObjective %s", k)
		w.conditions(1, s.InferenceObjectives[k].Conditions)
	}
	for _, k := range sortKeys(s.OlderInferenceObjectives) {
		w.line(0, "status older InferenceObjective %s", k)
		w.conditions(1, s.OlderInferenceObjectives[k].Conditions)
	}
	for _, k := range sortKeys(s.InferenceModelRewrites) {
		w.line(0, "status InferenceModelRewrite %s", k)
		w.conditions(1, s.InferenceModelRewrites[k].Conditions)
	}
	for _, k := range sortKeys(s.OlderInferenceModelRewrites) {
		w.line(0, "status older InferenceModelRewrite %s", k)
		w.conditions(1, s.OlderInferenceModelRewrites[k].Conditions)
	}
}

func renderParent[N, M, S ~string](namespace *N, name M, section *S, port *int32) string {
	out := string(name)
	if namespace != nil {
		out = string(*namespace) + "/" + out
	}
	if section != nil {
		out += " section " + string(*section)
	}
	if port != nil {
		out += fmt.Sprintf(" port %d", *port)
	}
	return out
}

func (w *renderer) conditions(indent int, list []metav1.Condition) {
	for _, c := range list {
		time := ""
		if !c.LastTransitionTime.IsZero() {
			time = " HAS A TIME"
		}
		w.line(indent, "%s=%s %s @%d%s: %s", c.Type, c.Status, c.Reason, c.ObservedGeneration, time, c.Message)
	}
}

func sortKeys[T any](m map[source.Key]T) []source.Key {
	return slices.SortedFunc(maps.Keys(m), source.Key.Compare)
}

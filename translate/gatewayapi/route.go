package gatewayapi

import (
	"fmt"
	"regexp"
	"time"

	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// Answers that a proxy gives itself. They name no object: clients need not know how a route is built.
const (
	noBackendBody   = "This route has no backend that can be used."
	unsupportedBody = "This route is not configured correctly."
)

// route is an HTTPRoute translated once, for all listeners that it is attached to.
type route struct {
	object    *gwv1.HTTPRoute
	key       source.Key
	ref       source.Ref
	hostnames []hostname // as written; empty: whatever the listener serves
	rules     []*rule
	broken    []finding // rules that cannot be done as written
	brokenAll bool      // no rule is left
	unsolved  []finding // references that do not resolve
	pools     []*resolvedPool
}

// rule is one match of a rule, with what its place among others depends on.
type rule struct {
	model.Rule
	route    *route
	index    int // of the rule in the route
	match    int // of the match in the rule
	redirect *redirect
}

// on gives the rule as it is served on a listener.
func (r *rule) on(port uint16, protocol model.Protocol) model.Rule {
	if r.redirect == nil {
		return r.Rule
	}
	out := r.Rule
	out.Action.Redirect = r.redirect.on(port, protocol)
	return out
}

// translateHTTPRoute reads a route. A rule that cannot be done as written answers 500 on the matches that
// it has, so that no other rule takes over the requests that were meant for it.
func (x *index) translateHTTPRoute(object *gwv1.HTTPRoute) *route {
	r := &route{
		object: object,
		key:    source.KeyOf(object),
		ref:    source.Ref{Group: gatewayGroup, Kind: "HTTPRoute", Namespace: object.Namespace, Name: object.Name},
	}
	for _, h := range object.Spec.Hostnames {
		r.hostnames = append(r.hostnames, parseHostname(string(h)))
	}
	specs := object.Spec.Rules
	if len(specs) == 0 {
		specs = []gwv1.HTTPRouteRule{{}} // what the API server fills in
	}
	brokenRules := 0
	for i := range specs {
		if wrong := x.translateRule(r, i, &specs[i]); len(wrong) > 0 {
			brokenRules++
			for _, f := range wrong {
				r.broken = append(r.broken, f.in(at("spec.rules", i)))
			}
		}
	}
	r.brokenAll = brokenRules == len(specs)
	return r
}

// translateRule adds one rule to the route, once for each of its matches.
func (x *index) translateRule(r *route, i int, spec *gwv1.HTTPRouteRule) []finding {
	filters, wrong := readFilters(spec.Filters)
	action, backendWrong := x.readForward(r, i, spec)
	wrong = append(wrong, backendWrong...)
	wrong = append(wrong, readTimeouts(spec.Timeouts, action.Forward)...)
	if spec.Retry != nil {
		wrong = append(wrong, unsupported("retries are not supported yet; remove the field").in("retry"))
	}
	if spec.SessionPersistence != nil {
		wrong = append(wrong, unsupported("not supported yet; remove the field").in("sessionPersistence"))
	}
	if filters.redirect != nil {
		action = model.Action{}
		if len(spec.BackendRefs) > 0 {
			wrong = append(wrong, find(string(gwv1.RouteReasonIncompatibleFilters),
				"RequestRedirect answers by itself and takes no backendRefs; remove one of the two").in("filters"))
		}
	}
	matches := spec.Matches
	if len(matches) == 0 {
		matches = []gwv1.HTTPRouteMatch{{}}
	}
	rules := make([]*rule, 0, len(matches))
	for j := range matches {
		match, matchWrong := x.readMatch(&matches[j])
		if matchWrong.found() {
			matchWrong.message += " (the match is left out; what it was meant for goes to other rules)"
			wrong = append(wrong, matchWrong.in(at("matches", j)))
			continue
		}
		if f := checkPrefixEdit(filters, match); f.found() {
			wrong = append(wrong, f.in(at("matches", j)))
		}
		rules = append(rules, &rule{
			Rule: model.Rule{
				Name:    fmt.Sprintf("HTTPRoute/%s/rule/%d/match/%d", r.key, i, j),
				Source:  r.ref,
				Match:   match,
				Filters: filters.Filters,
				Action:  action,
			},
			route:    r,
			index:    i,
			match:    j,
			redirect: filters.redirect,
		})
	}
	if len(wrong) > 0 {
		for _, u := range rules {
			u.Filters, u.redirect = model.Filters{}, nil
			u.Action = model.Action{Reply: &model.Reply{Status: 500, Body: unsupportedBody}}
		}
	}
	r.rules = append(r.rules, rules...)
	return wrong
}

// checkPrefixEdit finds a replacement of the matched prefix where no prefix is matched.
func checkPrefixEdit(filters ruleFilters, match model.Match) finding {
	edits := filters.Rewrite.Path.Kind == model.ReplacePrefix ||
		filters.redirect != nil && filters.redirect.Path.Kind == model.ReplacePrefix
	if edits && match.Path.Kind != model.PathPrefix {
		return unsupported("a filter with ReplacePrefixMatch needs a match of type PathPrefix").in("path.type")
	}
	return finding{}
}

// readForward resolves the backends of a rule. What does not resolve keeps its share of the requests and
// answers 500 for it.
func (x *index) readForward(r *route, i int, spec *gwv1.HTTPRouteRule) (model.Action, []finding) {
	forward := &model.Forward{}
	var wrong []finding
	usable := false
	for k := range spec.BackendRefs {
		ref := &spec.BackendRefs[k]
		backend, pool := x.resolveBackend(r.key.Namespace, ref.BackendObjectReference)
		if pool != nil {
			r.pools = append(r.pools, pool)
		}
		if backend.finding.found() {
			r.unsolved = append(r.unsolved, backend.finding.in(at("backendRefs", k)).in(at("spec.rules", i)))
		}
		filters, filterWrong := readBackendFilters(ref.Filters)
		for _, f := range filterWrong {
			wrong = append(wrong, f.in(at("backendRefs", k)))
		}
		weight := valueOr(ref.Weight, 1)
		if weight <= 0 {
			continue
		}
		target := model.Target{Weight: uint32(weight)}
		if !backend.finding.found() {
			usable = true
			target.Backend, target.Filters = backend.ID, filters
		}
		forward.Targets = append(forward.Targets, target)
	}
	if !usable {
		return model.Action{Reply: &model.Reply{Status: 500, Body: noBackendBody}}, wrong
	}
	return model.Action{Forward: forward}, wrong
}

// durationSyntax is the form of a duration in Gateway API (GEP-2257).
var durationSyntax = regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)

// readTimeouts puts the timeouts into forward, which may be nil when nothing is forwarded.
func readTimeouts(spec *gwv1.HTTPRouteTimeouts, forward *model.Forward) []finding {
	if spec == nil {
		return nil
	}
	var wrong []finding
	request, f := readTimeout(spec.Request)
	if f.found() {
		wrong = append(wrong, f.in("timeouts.request"))
	}
	backend, f := readTimeout(spec.BackendRequest)
	if f.found() {
		wrong = append(wrong, f.in("timeouts.backendRequest"))
	}
	if request.Kind == model.LimitedTimeout && backend.Kind == model.LimitedTimeout && backend.Value > request.Value {
		wrong = append(wrong, unsupported("%s is longer than timeouts.request, %s; make it shorter",
			*spec.BackendRequest, *spec.Request).in("timeouts.backendRequest"))
	}
	if forward != nil {
		forward.Timeout, forward.BackendTimeout = request, backend
	}
	return wrong
}

func readTimeout(spec *gwv1.Duration) (model.Timeout, finding) {
	if spec == nil {
		return model.Timeout{}, finding{}
	}
	if !durationSyntax.MatchString(string(*spec)) {
		return model.Timeout{}, unsupported("%q is not a duration; write it like 10s or 1m30s", *spec)
	}
	d, err := time.ParseDuration(string(*spec))
	if err != nil {
		return model.Timeout{}, unsupported("%q is not a duration: %v", *spec, err)
	}
	if d == 0 {
		return model.Timeout{Kind: model.NoTimeout}, finding{}
	}
	return model.Timeout{Kind: model.LimitedTimeout, Value: d}, finding{}
}

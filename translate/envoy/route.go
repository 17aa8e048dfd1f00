package envoy

import (
	"regexp"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/switchyard/switchyard/translate/model"
)

// virtualHost is one Host. The refs of its routes are added to refs.
func (b *builder) virtualHost(h *model.Host, refs *refs) *routev3.VirtualHost {
	vh := &routev3.VirtualHost{Name: h.Name, Domains: []string{h.Name}}
	for i := range h.Rules {
		rule := &h.Rules[i]
		if rule.Source.Kind != "" {
			refs.objects[rule.Source] = true
		}
		vh.Routes = append(vh.Routes, b.routes(rule, refs)...)
	}
	return vh
}

// routes makes the Envoy routes of one rule: one, unless the rule leads to a pool, where the size of the
// body decides how it is shown to the picker.
func (b *builder) routes(rule *model.Rule, refs *refs) []*routev3.Route {
	switch a := rule.Action; {
	case a.Redirect != nil:
		return b.redirectRoutes(rule, a.Redirect)
	case a.Reply != nil:
		r := b.newRoute(rule)
		r.Action = &routev3.Route_DirectResponse{DirectResponse: reply(a.Reply.Status, a.Reply.Body)}
		return []*routev3.Route{r}
	case a.Forward != nil && b.leadsToPool(a.Forward):
		return b.poolRoutes(rule, refs)
	case a.Forward != nil:
		return []*routev3.Route{b.forwardRoute(rule, noPicker, refs)}
	}
	r := b.newRoute(rule)
	r.Action = &routev3.Route_DirectResponse{DirectResponse: reply(500, "no action for "+rule.Name)}
	return []*routev3.Route{r}
}

// newRoute makes the parts that every action shares: name, match and header edits.
func (b *builder) newRoute(rule *model.Rule) *routev3.Route {
	r := &routev3.Route{Name: rule.Name, Match: routeMatch(&rule.Match)}
	if rule.Action.Redirect == nil {
		r.RequestHeadersToAdd, r.RequestHeadersToRemove = headerEdits(rule.Filters.RequestHeaders)
	}
	r.ResponseHeadersToAdd, r.ResponseHeadersToRemove = headerEdits(rule.Filters.ResponseHeaders)
	return r
}

func reply(status uint32, body string) *routev3.DirectResponseAction {
	out := &routev3.DirectResponseAction{Status: status}
	if body != "" {
		out.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: body}}
	}
	return out
}

func routeMatch(m *model.Match) *routev3.RouteMatch {
	out := &routev3.RouteMatch{}
	setPathMatch(out, m.Path)
	if m.Method != "" {
		out.Headers = append(out.Headers, headerMatch(model.NamedMatch{
			Name: ":method", ValueMatch: model.ValueMatch{Kind: model.Exact, Value: m.Method},
		}))
	}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, headerMatch(h))
	}
	for _, q := range m.Query {
		out.QueryParameters = append(out.QueryParameters, &routev3.QueryParameterMatcher{
			Name: q.Name,
			QueryParameterMatchSpecifier: &routev3.QueryParameterMatcher_StringMatch{
				StringMatch: stringMatch(q.ValueMatch),
			},
		})
	}
	return out
}

func setPathMatch(out *routev3.RouteMatch, path model.ValueMatch) {
	switch {
	case path.Value == "":
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "/"}
	case path.Kind == model.Exact:
		out.PathSpecifier = &routev3.RouteMatch_Path{Path: path.Value}
	case path.Kind == model.Regex:
		out.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: path.Value}}
	default:
		if prefix := trimPrefix(path.Value); prefix == "" {
			out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "/"}
		} else {
			out.PathSpecifier = &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: prefix}
		}
	}
}

// trimPrefix drops the trailing slash that the specification says to ignore; "/" becomes "".
func trimPrefix(prefix string) string { return strings.TrimRight(prefix, "/") }

func headerMatch(h model.NamedMatch) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{
		Name:                 h.Name,
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: stringMatch(h.ValueMatch)},
	}
}

func stringMatch(v model.ValueMatch) *matcherv3.StringMatcher {
	switch v.Kind {
	case model.Regex:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{
			SafeRegex: &matcherv3.RegexMatcher{Regex: v.Value},
		}}
	case model.PathPrefix:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: v.Value}}
	default:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: v.Value}}
	}
}

// headerEdits gives what Envoy adds and removes; it removes first, as the model asks.
func headerEdits(e model.HeaderEdits) ([]*corev3.HeaderValueOption, []string) {
	var out []*corev3.HeaderValueOption
	for _, h := range e.Set {
		out = append(out, headerOption(h, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
	}
	for _, h := range e.Add {
		out = append(out, headerOption(h, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD))
	}
	return out, e.Remove
}

func headerOption(h model.Header, action corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:         &corev3.HeaderValue{Key: h.Name, Value: escapeFormat(h.Value)},
		AppendAction:   action,
		KeepEmptyValue: true,
	}
}

// redirectRoutes makes one route, and one before it for requests that name a port where the Location shall
// have none: Envoy keeps the request's port unless told another, and a port that it is told it always writes.
func (b *builder) redirectRoutes(rule *model.Rule, r *model.Redirect) []*routev3.Route {
	route := b.newRoute(rule)
	route.Action = &routev3.Route_Redirect{Redirect: redirect(rule, r)}
	if r.Scheme == "" || r.Host != "" || r.Port != 0 {
		return []*routev3.Route{route}
	}
	explicit := *r
	explicit.Port = map[string]uint32{"http": 80, "https": 443}[r.Scheme]
	withPort := b.newRoute(rule)
	withPort.Match.Headers = append(withPort.Match.Headers, headerMatch(model.NamedMatch{
		Name: ":authority", ValueMatch: model.ValueMatch{Kind: model.Regex, Value: ".*:[0-9]+"},
	}))
	withPort.Action = &routev3.Route_Redirect{Redirect: redirect(rule, &explicit)}
	return []*routev3.Route{withPort, route}
}

func redirect(rule *model.Rule, r *model.Redirect) *routev3.RedirectAction {
	out := &routev3.RedirectAction{
		HostRedirect: r.Host,
		PortRedirect: r.Port,
		ResponseCode: redirectCode(r.Status),
	}
	if r.Scheme != "" {
		out.SchemeRewriteSpecifier = &routev3.RedirectAction_SchemeRedirect{SchemeRedirect: r.Scheme}
	}
	switch r.Path.Kind {
	case model.ReplaceFullPath:
		out.PathRewriteSpecifier = &routev3.RedirectAction_PathRedirect{PathRedirect: r.Path.Value}
	case model.ReplacePrefix:
		if re := prefixRewrite(rule.Match.Path, r.Path.Value); re != nil {
			out.PathRewriteSpecifier = &routev3.RedirectAction_RegexRewrite{RegexRewrite: re}
		}
	}
	return out
}

func redirectCode(status uint32) routev3.RedirectAction_RedirectResponseCode {
	switch status {
	case 301:
		return routev3.RedirectAction_MOVED_PERMANENTLY
	case 303:
		return routev3.RedirectAction_SEE_OTHER
	case 307:
		return routev3.RedirectAction_TEMPORARY_REDIRECT
	case 308:
		return routev3.RedirectAction_PERMANENT_REDIRECT
	default:
		return routev3.RedirectAction_FOUND
	}
}

// prefixRewrite replaces the path prefix that a rule matched, by whole segments: /a replaced by / turns
// /a/b into /b and /a into /; / replaced by /x turns /b into /x/b.
func prefixRewrite(path model.ValueMatch, replacement string) *matcherv3.RegexMatchAndSubstitute {
	if path.Kind != model.PathPrefix {
		return nil
	}
	old := regexp.QuoteMeta(trimPrefix(path.Value))
	to := strings.ReplaceAll(trimPrefix(replacement), `\`, `\\`)
	// The prefix is replaced together with the slashes behind it; what follows gets exactly one. Nothing
	// behind the prefix: nothing is added, unless that would leave an empty path.
	pattern, substitution := "^"+old+"(/.*)?$", to+`\1`
	if to == "" {
		pattern, substitution = "^"+old+"/*(.*)$", `/\1`
	}
	return &matcherv3.RegexMatchAndSubstitute{
		Pattern:      &matcherv3.RegexMatcher{Regex: pattern},
		Substitution: substitution,
	}
}

// fullRewrite replaces a whole path and leaves the query as it is.
func fullRewrite(to string) *matcherv3.RegexMatchAndSubstitute {
	return &matcherv3.RegexMatchAndSubstitute{
		Pattern:      &matcherv3.RegexMatcher{Regex: "^/.*$"},
		Substitution: strings.ReplaceAll(to, `\`, `\\`),
	}
}

package gatewayapi

import (
	"strings"

	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/translate/model"
)

// ruleFilters are the filters of a rule in the model's form.
type ruleFilters struct {
	model.Filters
	redirect *redirect
}

// redirect is a model.Redirect whose port waits for the listener that it is served on.
type redirect struct {
	model.Redirect
	port uint32 // as written, 0 when not
}

// readFilters translates the filters of a rule. Whatever cannot be done is a finding, never left out.
func readFilters(specs []gwv1.HTTPRouteFilter) (ruleFilters, []finding) {
	var out ruleFilters
	var wrong []finding
	seen := map[gwv1.HTTPRouteFilterType]bool{}
	for i, spec := range specs {
		if seen[spec.Type] {
			wrong = append(wrong, unsupported("%s occurs twice in one list; merge the two", spec.Type).in(at("filters", i)))
			continue
		}
		seen[spec.Type] = true
		if f := out.readFilter(spec); f.found() {
			wrong = append(wrong, f.in(at("filters", i)))
		}
	}
	if out.redirect != nil && out.Rewrite != (model.Rewrite{}) {
		wrong = append(wrong, find(string(gwv1.RouteReasonIncompatibleFilters),
			"RequestRedirect and URLRewrite exclude each other; remove one").in("filters"))
	}
	return out, wrong
}

func (r *ruleFilters) readFilter(spec gwv1.HTTPRouteFilter) finding {
	var wrong finding
	switch spec.Type {
	case gwv1.HTTPRouteFilterRequestHeaderModifier:
		r.RequestHeaders, wrong = readHeaderEdits(spec.RequestHeaderModifier)
		return wrong.in("requestHeaderModifier")
	case gwv1.HTTPRouteFilterResponseHeaderModifier:
		r.ResponseHeaders, wrong = readHeaderEdits(spec.ResponseHeaderModifier)
		return wrong.in("responseHeaderModifier")
	case gwv1.HTTPRouteFilterRequestRedirect:
		r.redirect, wrong = readRedirect(spec.RequestRedirect)
		return wrong.in("requestRedirect")
	case gwv1.HTTPRouteFilterURLRewrite:
		r.Rewrite, wrong = readRewrite(spec.URLRewrite)
		return wrong.in("urlRewrite")
	default:
		return unsupported("%s is not supported yet; remove the filter", spec.Type).in("type")
	}
}

// readBackendFilters translates the filters of one backendRef, where only headers can be changed.
func readBackendFilters(specs []gwv1.HTTPRouteFilter) (model.Filters, []finding) {
	out, wrong := readFilters(specs)
	for i, spec := range specs {
		switch spec.Type {
		case gwv1.HTTPRouteFilterRequestRedirect, gwv1.HTTPRouteFilterURLRewrite:
			wrong = append(wrong, unsupported("%s is not supported for a single backend; move it to the rule", spec.Type).in(at("filters", i)+".type"))
		}
	}
	return out.Filters, wrong
}

func readHeaderEdits(spec *gwv1.HTTPHeaderFilter) (model.HeaderEdits, finding) {
	var out model.HeaderEdits
	if spec == nil {
		return out, unsupported("the filter's settings are missing")
	}
	var wrong finding
	if out.Set, wrong = readHeaders(spec.Set); wrong.found() {
		return out, wrong.in("set")
	}
	if out.Add, wrong = readHeaders(spec.Add); wrong.found() {
		return out, wrong.in("add")
	}
	for _, name := range spec.Remove {
		if wrong = checkHeaderName(name); wrong.found() {
			return out, wrong.in("remove")
		}
		out.Remove = append(out.Remove, strings.ToLower(name))
	}
	return out, finding{}
}

// readHeaders translates header lines; of several with one name the first counts.
func readHeaders(specs []gwv1.HTTPHeader) ([]model.Header, finding) {
	var out []model.Header
	seen := map[string]bool{}
	for _, h := range specs {
		if wrong := checkHeaderName(string(h.Name)); wrong.found() {
			return nil, wrong
		}
		if strings.ContainsAny(h.Value, "\x00\r\n") {
			return nil, unsupported("the value of %s has a line break or a NUL; write it on one line", h.Name)
		}
		if name := strings.ToLower(string(h.Name)); !seen[name] {
			seen[name] = true
			out = append(out, model.Header{Name: name, Value: h.Value})
		}
	}
	return out, finding{}
}

// checkHeaderName refuses the names that a proxy does not let a filter touch.
func checkHeaderName(name string) finding {
	switch lower := strings.ToLower(name); {
	case lower == "host" || lower == ":authority":
		return unsupported("%s cannot be changed as a header; use a URLRewrite filter with a hostname", name)
	case lower == "" || lower[0] == ':':
		return unsupported("%q is a pseudo-header, which cannot be changed", name)
	default:
		return finding{}
	}
}

func readRewrite(spec *gwv1.HTTPURLRewriteFilter) (model.Rewrite, finding) {
	if spec == nil {
		return model.Rewrite{}, unsupported("the filter's settings are missing")
	}
	path, wrong := readPathEdit(spec.Path)
	return model.Rewrite{Host: string(valueOr(spec.Hostname, "")), Path: path}, wrong
}

func readPathEdit(spec *gwv1.HTTPPathModifier) (model.PathEdit, finding) {
	switch {
	case spec == nil:
		return model.PathEdit{}, finding{}
	case spec.Type == gwv1.FullPathHTTPPathModifier && spec.ReplaceFullPath != nil:
		return model.PathEdit{Kind: model.ReplaceFullPath, Value: *spec.ReplaceFullPath}, finding{}
	case spec.Type == gwv1.PrefixMatchHTTPPathModifier && spec.ReplacePrefixMatch != nil:
		return model.PathEdit{Kind: model.ReplacePrefix, Value: *spec.ReplacePrefixMatch}, finding{}
	default:
		return model.PathEdit{}, unsupported("%q does not say what to replace; use ReplaceFullPath or ReplacePrefixMatch, with its value", spec.Type).in("path.type")
	}
}

func readRedirect(spec *gwv1.HTTPRequestRedirectFilter) (*redirect, finding) {
	if spec == nil {
		return nil, unsupported("the filter's settings are missing")
	}
	scheme := valueOr(spec.Scheme, "")
	if scheme != "" && scheme != "http" && scheme != "https" {
		return nil, unsupported("%s is not supported; use http or https", scheme).in("scheme")
	}
	status := valueOr(spec.StatusCode, 302)
	switch status {
	case 301, 302, 303, 307, 308:
	default:
		return nil, unsupported("%d is not supported; use 301, 302, 303, 307 or 308", status).in("statusCode")
	}
	path, wrong := readPathEdit(spec.Path)
	return &redirect{
		Redirect: model.Redirect{
			Scheme: scheme,
			Host:   string(valueOr(spec.Hostname, "")),
			Path:   path,
			Status: uint32(status),
		},
		port: uint32(valueOr(spec.Port, 0)),
	}, wrong
}

// on gives the redirect as it is served on a listener: the port is the one written, else the well-known one
// of a scheme that was written, else the listener's; a port that its scheme implies is left out.
func (r *redirect) on(port uint16, protocol model.Protocol) *model.Redirect {
	out := r.Redirect
	scheme := out.Scheme
	if scheme == "" {
		scheme = "http"
		if protocol == model.HTTPS {
			scheme = "https"
		}
	}
	wellKnown := map[string]uint32{"http": 80, "https": 443}[scheme]
	switch {
	case r.port != 0:
		out.Port = r.port
	case out.Scheme != "":
		out.Port = wellKnown
	default:
		out.Port = uint32(port)
	}
	if out.Port == wellKnown {
		out.Port = 0
	}
	return &out
}

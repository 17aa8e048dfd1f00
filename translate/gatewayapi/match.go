package gatewayapi

import (
	"fmt"
	"regexp/syntax"
	"strings"

	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/translate/model"
)

// maxRegexProgram bounds the compiled size of an expression, in RE2 instructions. Proxies are started with
// the same bound (Envoy's runtime key re2.max_program_size.error_level) and refuse what exceeds it.
const maxRegexProgram = 1000

func unsupported(format string, args ...any) finding {
	return find(string(gwv1.RouteReasonUnsupportedValue), format, args...)
}

// readMatch translates one match of a rule. A match with a finding cannot be expressed and is left out.
func (x *index) readMatch(spec *gwv1.HTTPRouteMatch) (model.Match, finding) {
	var m model.Match
	var wrong finding
	if m.Path, wrong = x.readPathMatch(spec.Path); wrong.found() {
		return m, wrong
	}
	if spec.Method != nil {
		if m.Method = string(*spec.Method); m.Method == string(gwv1.HTTPMethodConnect) {
			return m, unsupported("CONNECT is not supported; requests are forwarded, not tunnelled").in("method")
		}
	}
	if m.Headers, wrong = x.readHeaderMatches(spec.Headers); wrong.found() {
		return m, wrong
	}
	m.Query, wrong = x.readQueryMatches(spec.QueryParams)
	return m, wrong
}

func (x *index) readPathMatch(spec *gwv1.HTTPPathMatch) (model.ValueMatch, finding) {
	kind, value := gwv1.PathMatchPathPrefix, "/"
	if spec != nil {
		kind, value = valueOr(spec.Type, kind), valueOr(spec.Value, value)
	}
	switch kind {
	case gwv1.PathMatchExact:
		return model.ValueMatch{Kind: model.Exact, Value: value}, finding{}
	case gwv1.PathMatchPathPrefix:
		// A prefix is compared segment by segment, so that a slash at its end means nothing.
		if trimmed := strings.TrimRight(value, "/"); trimmed != "" {
			value = trimmed
		} else {
			value = "/"
		}
		return model.ValueMatch{Kind: model.PathPrefix, Value: value}, finding{}
	case gwv1.PathMatchRegularExpression:
		return model.ValueMatch{Kind: model.Regex, Value: value}, x.checkRegex(value).in("path.value")
	default:
		return model.ValueMatch{}, unsupported("%s is not supported; use Exact, PathPrefix or RegularExpression", kind).in("path.type")
	}
}

// readHeaderMatches translates header matches; of several that name one header the first counts.
func (x *index) readHeaderMatches(specs []gwv1.HTTPHeaderMatch) ([]model.NamedMatch, finding) {
	var out []model.NamedMatch
	for i, spec := range specs {
		name := strings.ToLower(string(spec.Name))
		if name == "host" || strings.HasPrefix(name, ":") {
			return nil, unsupported("%s is not matched as a header; use spec.hostnames", spec.Name).in(at("headers", i) + ".name")
		}
		kind := valueOr(spec.Type, gwv1.HeaderMatchExact)
		m, wrong := x.readValueMatch(string(kind), spec.Value)
		if wrong.found() {
			return nil, wrong.in(at("headers", i))
		}
		out = addNamed(out, model.NamedMatch{Name: name, ValueMatch: m})
	}
	return out, finding{}
}

// readQueryMatches translates query parameter matches; their names are case-sensitive.
func (x *index) readQueryMatches(specs []gwv1.HTTPQueryParamMatch) ([]model.NamedMatch, finding) {
	var out []model.NamedMatch
	for i, spec := range specs {
		kind := valueOr(spec.Type, gwv1.QueryParamMatchExact)
		m, wrong := x.readValueMatch(string(kind), spec.Value)
		if wrong.found() {
			return nil, wrong.in(at("queryParams", i))
		}
		out = addNamed(out, model.NamedMatch{Name: string(spec.Name), ValueMatch: m})
	}
	return out, finding{}
}

func addNamed(list []model.NamedMatch, m model.NamedMatch) []model.NamedMatch {
	for _, have := range list {
		if have.Name == m.Name {
			return list
		}
	}
	return append(list, m)
}

func (x *index) readValueMatch(kind, value string) (model.ValueMatch, finding) {
	switch kind {
	case string(gwv1.HeaderMatchExact):
		return model.ValueMatch{Kind: model.Exact, Value: value}, finding{}
	case string(gwv1.HeaderMatchRegularExpression):
		return model.ValueMatch{Kind: model.Regex, Value: value}, x.checkRegex(value).in("value")
	default:
		return model.ValueMatch{}, unsupported("%s is not supported; use Exact or RegularExpression", kind).in("type")
	}
}

// checkRegex tells whether an expression is RE2 and of a reasonable size; it remembers its answers.
func (x *index) checkRegex(expression string) finding {
	wrong, ok := x.regexes[expression]
	if !ok {
		wrong = judgeRegex(expression)
		x.regexes[expression] = wrong
	}
	if wrong == "" {
		return finding{}
	}
	return unsupported("%s", wrong)
}

func judgeRegex(expression string) string {
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return fmt.Sprintf("not a regular expression in RE2 syntax: %v", err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return fmt.Sprintf("the regular expression does not compile: %v", err)
	}
	if n := estimateRE2(program); n > maxRegexProgram {
		return fmt.Sprintf("the regular expression compiles to about %d instructions, more than the %d allowed; use smaller repetitions or classes", n, maxRegexProgram)
	}
	return ""
}

// estimateRE2 gives an upper estimate of how many instructions RE2 makes of a program. RE2 matches bytes:
// a class of characters that is one instruction here takes a few there, 12 at most as measured.
func estimateRE2(program *syntax.Prog) int {
	const largestClass, anyCharacter, frame = 13, 3, 4
	size := frame
	for i := range program.Inst {
		switch inst := &program.Inst[i]; inst.Op {
		case syntax.InstRune:
			size += min(1+len(inst.Rune)/2, largestClass)
		case syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			size += anyCharacter
		default:
			size++
		}
	}
	return size
}

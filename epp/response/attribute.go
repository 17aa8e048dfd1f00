package response

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"

	"github.com/google/cel-go/cel"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// RequestAttributeReporterType is the type of RequestAttributeReporter.
const RequestAttributeReporterType = "request-attribute-reporter"

// RequestAttributeReporter tells the proxy a number that a CEL expression makes of the usage of an answer, as dynamic
// metadata: its cost, for quotas and logs. Expressions know `usage.prompt_tokens`, `usage.completion_tokens`,
// `usage.total_tokens`, `usage.cached_tokens` and `usage.prompt_tokens_details.cached_tokens`. What the model server did not
// report is not there: ask with `has(usage.cached_tokens)`. Numbers of the usage are doubles and, where an expression does
// not go with that, as in `usage.prompt_tokens * 2`, integers. The result is cut to an integer. Zero, a result below zero
// and one that cannot be computed are not reported.
type RequestAttributeReporter struct {
	namespace, name string
	value           cel.Program
	condition       cel.Program // nil: always
	warned          sync.Once
}

// Bounds of what an expression may be and may cost.
const (
	maxExpressionBytes = 4096
	maxExpressionCost  = 10_000
	maxAttributeBytes  = 256
)

// defaultNamespace is that of the metadata which the picker sends otherwise.
const defaultNamespace = "envoy.lb"

// maxExact is the largest integer up to which the metadata, whose numbers are doubles, holds each one.
const maxExact = 1 << 53

type attributeSpec struct {
	Key struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"key"`
	Expression string `json:"expression"`
	Condition  string `json:"condition"`
}

// NewRequestAttributeReporter reads `attributes`, a list of one: `key.namespace` (envoy.lb) and `key.name` say where the number
// goes, `expression` makes it, and `condition`, if given, is asked first whether to report at all. Expressions are at most
// 4096 bytes long. For another number declare another plugin of this type.
func NewRequestAttributeReporter(parameters []byte) (*RequestAttributeReporter, error) {
	given := struct {
		Attributes []attributeSpec `json:"attributes"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if len(given.Attributes) != 1 {
		return nil, fmt.Errorf("parameters: attributes: %d entries; give one, and declare another plugin of this type for another number",
			len(given.Attributes))
	}
	reporter, err := given.Attributes[0].build()
	if err != nil {
		return nil, fmt.Errorf("parameters: attributes[0].%w", err)
	}
	return reporter, nil
}

func (s *attributeSpec) build() (*RequestAttributeReporter, error) {
	r := &RequestAttributeReporter{namespace: s.Key.Namespace, name: s.Key.Name}
	if r.namespace == "" {
		r.namespace = defaultNamespace
	}
	switch {
	case r.name == "":
		return nil, errors.New("key.name: missing; give the key of the metadata")
	case len(r.name) > maxAttributeBytes:
		return nil, fmt.Errorf("key.name: longer than %d bytes", maxAttributeBytes)
	case len(r.namespace) > maxAttributeBytes:
		return nil, fmt.Errorf("key.namespace: longer than %d bytes", maxAttributeBytes)
	case s.Expression == "":
		return nil, errors.New("expression: missing; give a CEL expression such as usage.total_tokens")
	}
	env, err := cel.NewEnv(cel.Variable("usage", cel.MapType(cel.StringType, cel.DynType)))
	if err != nil {
		return nil, fmt.Errorf("expression: setting up CEL: %w", err)
	}
	if r.value, err = compile(env, s.Expression, cel.DynType, cel.DoubleType, cel.IntType, cel.UintType); err != nil {
		return nil, fmt.Errorf("expression: %w", err)
	}
	if s.Condition == "" {
		return r, nil
	}
	if r.condition, err = compile(env, s.Condition, cel.DynType, cel.BoolType); err != nil {
		return nil, fmt.Errorf("condition: %w", err)
	}
	return r, nil
}

// compile makes a program of an expression whose result is of one of some types, as far as that is known beforehand.
func compile(env *cel.Env, text string, wanted ...*cel.Type) (cel.Program, error) {
	if len(text) > maxExpressionBytes {
		return nil, fmt.Errorf("%d bytes; an expression has at most %d", len(text), maxExpressionBytes)
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, fmt.Errorf("%q is not valid CEL: %w", text, issues.Err())
	}
	for _, t := range wanted {
		if ast.OutputType().IsExactType(t) {
			program, err := env.Program(ast, cel.CostLimit(maxExpressionCost))
			if err != nil {
				return nil, fmt.Errorf("%q: %w", text, err)
			}
			return program, nil
		}
	}
	return nil, fmt.Errorf("%q gives a %s; wanted: %s", text, ast.OutputType(), wanted[1])
}

// Report implements Reporter.
func (r *RequestAttributeReporter) Report(u Usage) (namespace, name string, value int64, ok bool) {
	if r.condition != nil {
		met, err := evaluate(r.condition, u)
		if err != nil {
			r.warn(err)
			return "", "", 0, false
		}
		if met != true {
			return "", "", 0, false
		}
	}
	result, err := evaluate(r.value, u)
	if err != nil {
		r.warn(err)
		return "", "", 0, false
	}
	value = integer(result)
	return r.namespace, r.name, value, value > 0
}

// warn says once what is wrong with an expression: it would be wrong for each answer.
func (r *RequestAttributeReporter) warn(err error) {
	r.warned.Do(func() {
		slog.Warn("an attribute of requests is not reported, for this answer and perhaps others; ask with has() for what model servers may leave out",
			"attribute", r.name, "error", err)
	})
}

// evaluate runs a program over the usage with doubles and, where it does not go with these, with integers.
func evaluate(program cel.Program, u Usage) (any, error) {
	result, _, err := program.Eval(variables(u, func(n int64) any { return float64(n) }))
	if err != nil {
		again, _, integerErr := program.Eval(variables(u, func(n int64) any { return n }))
		if integerErr != nil {
			return nil, err
		}
		result = again
	}
	return result.Value(), nil
}

// variables are those of expressions. They are made at the end of a request only, and only where this plugin is declared.
func variables(u Usage, number func(int64) any) map[string]any {
	usage := make(map[string]any, 5)
	if u.Input >= 0 {
		usage["prompt_tokens"] = number(u.Input)
	}
	if u.Output >= 0 {
		usage["completion_tokens"] = number(u.Output)
	}
	if u.Input >= 0 && u.Output >= 0 {
		usage["total_tokens"] = number(u.Input + u.Output)
	}
	if u.Cached >= 0 {
		usage["cached_tokens"] = number(u.Cached)
		usage["prompt_tokens_details"] = map[string]any{"cached_tokens": number(u.Cached)}
	}
	return map[string]any{"usage": usage}
}

// integer is a result as an integer, 0 for what is none that the metadata can hold.
func integer(result any) int64 {
	switch number := result.(type) {
	case int64:
		if number <= maxExact {
			return number
		}
	case uint64:
		if number <= maxExact {
			return int64(number)
		}
	case float64:
		if !math.IsNaN(number) && math.Abs(number) <= maxExact {
			return int64(number)
		}
	}
	return 0
}

package file

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/switchyard/switchyard/internal/source"
)

// checkCustom checks an object of a custom kind in the order of an API server and fills in its defaults:
// unknown fields, defaults, schema, unique list keys, CEL rules. The rules run only on an object that
// fits its schema, since they rely on it.
func checkCustom(raw map[string]any, s *crdSchema) []source.Problem {
	if problems := unknownFields(raw, s.structural, ""); len(problems) > 0 {
		return problems
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(raw, s.structural)
	defaulting.Default(raw, s.structural)

	errs := validation.ValidateCustomResource(nil, raw, s.openAPI)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, raw)...)
	if len(errs) > 0 {
		return dropComposite(fieldProblems(errs))
	}
	if s.rules == nil {
		return nil
	}
	errs, _ = s.rules.Validate(context.Background(), nil, s.structural, raw, nil, celconfig.RuntimeCELCostBudget)
	return fieldProblems(errs)
}

// unknownFields lists the fields that the schema does not have. The metadata of the object itself is left
// to checkMetadata.
func unknownFields(value any, s *structural.Structural, path string) []source.Problem {
	if s == nil || s.XPreserveUnknownFields {
		return nil
	}
	var out []source.Problem
	switch v := value.(type) {
	case map[string]any:
		for _, name := range sortedKeys(v) {
			if path == "" && (name == "apiVersion" || name == "kind" || name == "metadata") {
				continue
			}
			if sub, ok := s.Properties[name]; ok {
				out = append(out, unknownFields(v[name], &sub, childPath(path, name))...)
			} else if s.AdditionalProperties != nil {
				out = append(out, unknownFields(v[name], s.AdditionalProperties.Structural, path+"["+name+"]")...)
			} else if s.Type == "object" {
				out = append(out, unknownField(childPath(path, name), name, knownFields(s, path == "")))
			}
		}
	case []any:
		for i, e := range v {
			out = append(out, unknownFields(e, s.Items, path+"["+strconv.Itoa(i)+"]")...)
		}
	}
	return out
}

func knownFields(s *structural.Structural, root bool) []string {
	known := sortedKeys(s.Properties)
	if root {
		known = append(known, "status")
	}
	return known
}

// fieldProblems puts validation errors in our words where theirs are terse.
func fieldProblems(errs field.ErrorList) []source.Problem {
	out := make([]source.Problem, 0, len(errs))
	for _, e := range errs {
		out = append(out, fieldProblem(e))
	}
	return out
}

func fieldProblem(e *field.Error) source.Problem {
	p := source.Problem{Field: cleanPath(e.Field), Message: e.ErrorBody()}
	switch e.Type {
	case field.ErrorTypeRequired:
		p.Message = "required, but missing"
		if e.Detail != "" {
			p.Message += ": " + e.Detail
		}
		p.Fix = "add it"
	case field.ErrorTypeNotSupported:
		p.Message = fmt.Sprintf("%v is not one of the values allowed here", quoted(e.BadValue))
		p.Fix = strings.Replace(e.Detail, "supported values:", "use one of", 1)
	case field.ErrorTypeDuplicate:
		p.Message = "the same entry is in the list before"
		p.Fix = "remove it or give it another name"
	case field.ErrorTypeTypeInvalid:
		p.Message = strings.ReplaceAll(strings.Replace(trimPathPrefix(e.Detail, e.Field), `: "`, ", not ", 1), `"`, "")
		p.Fix = "give a value of that type"
	case field.ErrorTypeTooMany:
		p.Message, p.Fix = e.ErrorBody(), "remove some"
	case field.ErrorTypeTooLong:
		p.Message, p.Fix = e.ErrorBody(), "shorten it"
	case field.ErrorTypeInvalid:
		p.Message = trimPathPrefix(e.Detail, e.Field)
		if isScalar(e.BadValue) && !isTypeWord(e.BadValue) {
			p.Message = fmt.Sprintf("%v: %s", quoted(e.BadValue), p.Message)
		}
		p.Fix = "change it so that this rule holds"
	}
	return p
}

// composite matches what anyOf, oneOf and the like say: their path stands in the message.
var composite = regexp.MustCompile(`^"([^"]*)" (must (?:not )?validate .*)$`)

// dropComposite leaves out that none of several schemas fits where another problem tells what is wrong.
func dropComposite(problems []source.Problem) []source.Problem {
	var plain, combined []source.Problem
	for _, p := range problems {
		if m := composite.FindStringSubmatch(p.Message); p.Field == "" && m != nil {
			p.Field, p.Message = m[1], m[2]
			combined = append(combined, p)
		} else {
			plain = append(plain, p)
		}
	}
	for _, p := range combined {
		explained := slices.ContainsFunc(plain, func(o source.Problem) bool { return strings.HasPrefix(o.Field, p.Field) })
		if !explained {
			plain = append(plain, p)
		}
	}
	return plain
}

// cleanPath turns the root's own names ("<nil>", "") into an empty path.
func cleanPath(path string) string {
	if path == "<nil>" {
		return ""
	}
	return strings.TrimPrefix(path, ".")
}

// trimPathPrefix drops the path that some validators repeat in front of the message.
func trimPathPrefix(message, path string) string {
	for _, prefix := range []string{path + " in body ", path + " "} {
		if rest, ok := strings.CutPrefix(message, prefix); ok {
			return rest
		}
	}
	return message
}

func isScalar(v any) bool {
	switch v.(type) {
	case string, bool, int64, float64, int, int32:
		return true
	}
	return false
}

// isTypeWord tells whether a CEL error's value is the schema's type, which it gives in place of the value.
func isTypeWord(v any) bool {
	switch v {
	case "", "object", "array", "string", "integer", "boolean", "number":
		return true
	}
	return false
}

func quoted(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(s)
	}
	return fmt.Sprint(v)
}

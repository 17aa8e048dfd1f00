package file

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard/switchyard/internal/source"
)

// fitProblems says, field by field, why a value does not fit a Go type: fields that the type does not have,
// values of another kind. It is the slow way, taken after decodeStrict has failed.
func fitProblems(value any, target reflect.Type, path string) []source.Problem {
	for target.Kind() == reflect.Pointer {
		target = target.Elem()
	}
	if value == nil {
		return nil
	}
	if ownDecoding(target) {
		return fitLeaf(value, target, path)
	}
	switch v := value.(type) {
	case map[string]any:
		switch target.Kind() {
		case reflect.Struct:
			return fitStruct(v, target, path)
		case reflect.Map:
			return fitMap(v, target, path)
		}
	case []any:
		if target.Kind() == reflect.Slice && target.Elem().Kind() != reflect.Uint8 {
			return fitList(v, target, path)
		}
	}
	return fitLeaf(value, target, path)
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

func ownDecoding(t reflect.Type) bool { return reflect.PointerTo(t).Implements(unmarshaler) }

func fitStruct(value map[string]any, target reflect.Type, path string) []source.Problem {
	fields := jsonFields(target)
	var out []source.Problem
	for _, name := range sortedKeys(value) {
		at := childPath(path, name)
		if f, ok := fields[name]; ok {
			out = append(out, fitProblems(value[name], f, at)...)
			continue
		}
		out = append(out, unknownField(at, name, sortedKeys(fields)))
	}
	return out
}

func fitMap(value map[string]any, target reflect.Type, path string) []source.Problem {
	var out []source.Problem
	for _, name := range sortedKeys(value) {
		out = append(out, fitProblems(value[name], target.Elem(), path+"["+name+"]")...)
	}
	return out
}

func fitList(value []any, target reflect.Type, path string) []source.Problem {
	var out []source.Problem
	for i, e := range value {
		out = append(out, fitProblems(e, target.Elem(), path+"["+strconv.Itoa(i)+"]")...)
	}
	return out
}

func fitLeaf(value any, target reflect.Type, path string) []source.Problem {
	err := decodeStrict(value, reflect.New(target).Interface())
	if err == nil {
		return nil
	}
	return []source.Problem{{
		Field:   path,
		Message: "a value of type " + kindOfValue(value) + " does not fit here",
		Fix:     "give " + wantedKind(target),
	}}
}

func kindOfValue(value any) string {
	switch value.(type) {
	case bool:
		return "boolean"
	case string:
		return "string"
	case int64, float64:
		return "number"
	case []any:
		return "list"
	}
	return "map"
}

func wantedKind(t reflect.Type) string {
	switch t.String() {
	case "v1.Time", "v1.MicroTime":
		return "a time such as 2006-01-02T15:04:05Z"
	case "intstr.IntOrString":
		return "a number or a name"
	case "resource.Quantity":
		return "a quantity such as 500m or 2Gi"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string; put numbers and words such as yes and on in quotes"
	case reflect.Int32:
		return "a whole number that fits 32 bits"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Map, reflect.Struct:
		return "a map of fields"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "text in base64; plain text goes under stringData in a Secret and under data in a ConfigMap"
		}
		return "a list"
	}
	return "a " + t.Kind().String()
}

// jsonFields gives the JSON names of a struct's fields, those of embedded structs included.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name == "" && (f.Anonymous || slices.Contains(strings.Split(options, ","), "inline")):
			for n, sub := range jsonFields(f.Type) {
				out[n] = sub
			}
		case name == "":
			out[f.Name] = f.Type
		default:
			out[name] = f.Type
		}
	}
	return out
}

func unknownField(path, name string, known []string) source.Problem {
	return source.Problem{
		Field:   path,
		Message: fmt.Sprintf("unknown field %q", name),
		Fix:     fixUnknownField(name, known),
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func childPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

package gatewayapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// parametersKey is the key of a ConfigMap under which model.FleetParameters stand.
const parametersKey = "fleet.yaml"

func invalidParameters(format string, args ...any) finding {
	return find(string(gwv1.GatewayReasonInvalidParameters), format, args...)
}

// classParameters reads what a GatewayClass refers to; the zero parameters when it refers to nothing.
func (x *index) classParameters(class *gwv1.GatewayClass) (model.FleetParameters, finding) {
	ref := class.Spec.ParametersRef
	if ref == nil {
		return model.FleetParameters{}, finding{}
	}
	var p model.FleetParameters
	wrong := checkParametersKind(ref.Group, ref.Kind)
	if !wrong.found() && valueOr(ref.Namespace, "") == "" {
		wrong = invalidParameters("a ConfigMap has a namespace; name it").in("namespace")
	}
	if !wrong.found() {
		p, wrong = x.readParameters(source.Key{Namespace: string(*ref.Namespace), Name: ref.Name})
	}
	if wrong.found() {
		wrong = wrong.in("spec.parametersRef")
	}
	return p, wrong
}

// gatewayParameters reads what a Gateway refers to, over what its class says.
func (x *index) gatewayParameters(object *gwv1.Gateway, class model.FleetParameters) (model.FleetParameters, finding) {
	if object.Spec.Infrastructure == nil || object.Spec.Infrastructure.ParametersRef == nil {
		return class, finding{}
	}
	ref := object.Spec.Infrastructure.ParametersRef
	var p model.FleetParameters
	wrong := checkParametersKind(ref.Group, ref.Kind)
	if !wrong.found() {
		p, wrong = x.readParameters(source.Key{Namespace: object.Namespace, Name: ref.Name})
	}
	if wrong.found() {
		return model.FleetParameters{}, wrong.in("spec.infrastructure.parametersRef")
	}
	return mergeParameters(class, p), finding{}
}

func checkParametersKind(group gwv1.Group, kind gwv1.Kind) finding {
	if group == coreGroup && kind == "ConfigMap" {
		return finding{}
	}
	return invalidParameters("kind %s of group %q holds no parameters; refer to a ConfigMap (group \"\") with the key %s, or remove the field",
		kind, group, parametersKey)
}

// parameters are those of one ConfigMap, or what is wrong with them.
type parameters struct {
	model.FleetParameters
	wrong finding
}

// readParameters reads one ConfigMap. Each is checked by itself, so that a class with bad parameters is told
// even when no Gateway uses it.
func (x *index) readParameters(key source.Key) (model.FleetParameters, finding) {
	p, ok := x.parameters[key]
	if !ok {
		p = &parameters{}
		p.FleetParameters, p.wrong = x.decodeConfigMap(key)
		x.parameters[key] = p
	}
	return p.FleetParameters, p.wrong
}

func (x *index) decodeConfigMap(key source.Key) (model.FleetParameters, finding) {
	object, ok := x.objects.ConfigMaps.Get(key.Namespace, key.Name)
	if !ok {
		return model.FleetParameters{}, invalidParameters("ConfigMap %s does not exist; create it with the key %s, or remove the field", key, parametersKey)
	}
	text, ok := object.Data[parametersKey]
	if !ok {
		return model.FleetParameters{}, invalidParameters("ConfigMap %s has no key %s; put the parameters there", key, parametersKey)
	}
	p, wrong := decodeParameters(text)
	if len(wrong) == 0 {
		wrong = checkParameters(&p)
	}
	if len(wrong) > 0 {
		return model.FleetParameters{}, merge(wrong).about("ConfigMap " + key.String() + ", key " + parametersKey)
	}
	return p, finding{}
}

// decodeParameters reads the YAML field by field, so that all that is wrong is told at once and by name. A
// field that is not known is wrong: it would be a slip that nobody sees.
func decodeParameters(text string) (model.FleetParameters, []finding) {
	var p model.FleetParameters
	asJSON, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return p, []finding{invalidParameters("not YAML: %s", strings.Join(strings.Fields(err.Error()), " "))}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(asJSON, &fields); err != nil {
		return p, []finding{invalidParameters("not a map of fields; write it like replicas: 3")}
	}
	var wrong []finding
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if name == "resources" {
			if bad := checkQuantities(fields[name]); len(bad) > 0 {
				wrong = append(wrong, bad...)
				continue
			}
		}
		if f := decodeField(&p, name, fields[name]); f.found() {
			wrong = append(wrong, f)
		}
	}
	return p, wrong
}

// decodeField puts one field into p.
func decodeField(p *model.FleetParameters, name string, value json.RawMessage) finding {
	document, err := json.Marshal(map[string]json.RawMessage{name: value})
	if err != nil {
		return invalidParameters("%v", err).in(name)
	}
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(p)
	if err == nil {
		return finding{}
	}
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		return invalidParameters("%s given, %s needed", valueName(mismatch.Value), typeName(mismatch.Type)).in(mismatch.Field)
	}
	unknown, ok := strings.CutPrefix(err.Error(), "json: unknown field ")
	switch {
	case !ok:
		return invalidParameters("%v", err).in(name)
	case unknown == strconv.Quote(name):
		return invalidParameters("there is no such field; correct its name or remove it").in(name)
	default:
		return invalidParameters("there is no field %s in it; correct its name or remove it", unknown).in(name)
	}
}

// valueName gives what encoding/json calls a value in the words of YAML.
func valueName(value string) string {
	switch value {
	case "object":
		return "map"
	case "array":
		return "list"
	case "bool":
		return "true or false"
	}
	return value
}

// typeName gives a Go type in the words of YAML.
func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "map"
	case reflect.Slice, reflect.Array:
		return "list"
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "true or false"
	default:
		return "whole number"
	}
}

// checkQuantities names the amounts that cannot be read, which the decoder would not.
func checkQuantities(resources json.RawMessage) []finding {
	var r struct{ Limits, Requests map[string]json.RawMessage }
	if json.Unmarshal(resources, &r) != nil {
		return nil // the decoder says it better
	}
	var wrong []finding
	for _, list := range []struct {
		name    string
		amounts map[string]json.RawMessage
	}{{"limits", r.Limits}, {"requests", r.Requests}} {
		for _, name := range slices.Sorted(maps.Keys(list.amounts)) {
			var q resource.Quantity
			if err := json.Unmarshal(list.amounts[name], &q); err != nil {
				wrong = append(wrong, invalidParameters("%s is not an amount; write it like 500m or 2Gi",
					list.amounts[name]).in("resources."+list.name+"."+name))
			}
		}
	}
	return wrong
}

// mergeParameters takes each field from the Gateway's parameters, or where they do not have it from those of
// the class. The number of replicas and autoscaling are two answers to one question: a Gateway that gives one
// of them is not bound by the other one of its class.
func mergeParameters(class, own model.FleetParameters) model.FleetParameters {
	if own.Replicas != nil || own.Autoscaling != nil {
		class.Replicas, class.Autoscaling = nil, nil
	}
	from, to := reflect.ValueOf(class), reflect.ValueOf(&own).Elem()
	for i := range to.NumField() {
		if field := to.Field(i); field.IsZero() {
			field.Set(from.Field(i))
		}
	}
	return own
}

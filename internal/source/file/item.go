package file

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/switchyard/switchyard/internal/source"
)

// maxProblemsPerObject keeps one hopeless object from flooding the report.
const maxProblemsPerObject = 20

// item is what one object of a document came to. It does not change, and is shared between versions of a
// file. Lines in its problems count from the start of the document; file and document are filled in later.
type item struct {
	ref      source.Ref
	kind     *kind // nil when the kind means nothing here
	object   object
	content  xxh3.Uint128 // of the whole object
	spec     xxh3.Uint128 // of the object without metadata and status
	problems []source.Problem
	warnings []source.Problem
}

// broken tells whether the object is known but not usable.
func (i *item) broken() bool { return i.kind != nil && i.object == nil }

// decodeItems turns a document's value into items. A List gives one for each entry. failure is non-nil when
// something in it could not even be identified.
func decodeItems(value any, duplicates []*syntaxError, lines *locator) (items []*item, failure *source.Problem) {
	raw, ok := value.(map[string]any)
	if !ok {
		return nil, &source.Problem{Message: "the document is a " + kindOfValue(value) + ", not an object", Fix: "write an object with apiVersion, kind and metadata"}
	}
	entries, isList := listEntries(raw)
	if !isList {
		it, failure := decodeItem(raw, "", duplicates, lines)
		if it == nil {
			return nil, failure
		}
		return []*item{it}, failure
	}
	for i, e := range entries {
		at := "items[" + strconv.Itoa(i) + "]"
		entry, ok := e.(map[string]any)
		if !ok {
			failure = &source.Problem{Line: lines.line(at), Field: at, Message: "the entry is a " + kindOfValue(e) + ", not an object", Fix: "write an object with apiVersion, kind and metadata"}
			continue
		}
		it, wrong := decodeItem(entry, at, duplicates, lines)
		if wrong != nil {
			failure = wrong
			continue
		}
		items = append(items, it)
	}
	return items, failure
}

// listEntries unrolls a List, also one of a single kind such as HTTPRouteList, whose entries may leave out
// what kind they are.
func listEntries(raw map[string]any) ([]any, bool) {
	name, _ := raw["kind"].(string)
	entries, ok := raw["items"].([]any)
	if !ok && raw["items"] != nil || !strings.HasSuffix(name, "List") {
		return nil, false
	}
	of := strings.TrimSuffix(name, "List")
	if of == "" {
		return entries, true
	}
	for _, e := range entries {
		entry, ok := e.(map[string]any)
		if !ok {
			continue
		}
		if _, has := entry["kind"]; !has {
			entry["kind"] = of
		}
		if _, has := entry["apiVersion"]; !has {
			entry["apiVersion"] = raw["apiVersion"]
		}
	}
	return entries, true
}

// decodeItem reads one object found at a path of the document ("" for the document itself).
func decodeItem(raw map[string]any, at string, duplicates []*syntaxError, lines *locator) (*item, *source.Problem) {
	it, failure := identify(raw)
	if failure != nil {
		failure.Line = lines.line(joinPath(at, failure.Field))
		failure.Field = joinPath(at, failure.Field)
		return nil, failure
	}
	if it.kind != nil {
		it.decode(raw, duplicates)
	}
	if len(it.problems) > maxProblemsPerObject {
		more := len(it.problems) - maxProblemsPerObject
		it.problems = append(it.problems[:maxProblemsPerObject:maxProblemsPerObject], source.Problem{Message: fmt.Sprintf("%d more problems in this object", more)})
	}
	for _, list := range [][]source.Problem{it.problems, it.warnings} {
		for i := range list {
			list[i].Object = it.ref
			if list[i].Line == 0 {
				list[i].Line = lines.line(joinPath(at, list[i].Field))
			}
		}
	}
	return it, nil
}

func joinPath(at, field string) string {
	if at == "" || field == "" {
		return at + field
	}
	return at + "." + field
}

// identify finds out which object this is. It normalises raw: apiVersion as stored, namespace filled in.
func identify(raw map[string]any) (*item, *source.Problem) {
	apiVersion, p := stringAt(raw, "apiVersion", "add it, for example apiVersion: "+gatewayGroup+"/v1")
	if p != nil {
		return nil, p
	}
	name, p := stringAt(raw, "kind", "add it, for example kind: HTTPRoute")
	if p != nil {
		return nil, p
	}
	group, _ := splitAPIVersion(apiVersion)
	k, version := findKind(apiVersion, name)
	meta, _ := raw["metadata"].(map[string]any)
	if k == nil {
		if meant := misspeltKind(group, name); meant != "" {
			return nil, &source.Problem{Field: "kind", Message: fmt.Sprintf("there is no kind %q", name), Fix: fmt.Sprintf("did you mean %q?", meant)}
		}
		return ignoredItem(group, name, meta), nil
	}
	if meta == nil {
		return nil, &source.Problem{Field: "metadata", Message: "required, but missing", Fix: "add metadata with a name"}
	}
	objectName, p := stringAt(meta, "name", "add it")
	if p != nil {
		p.Field = "metadata.name"
		return nil, p
	}
	if !k.clusterScoped {
		if ns, has := meta["namespace"]; !has || ns == nil || ns == "" {
			meta["namespace"] = defaultNamespace
		}
	} else {
		delete(meta, "namespace")
	}
	namespace, _ := meta["namespace"].(string)
	it := &item{kind: k, ref: source.Ref{Group: group, Kind: name, Namespace: namespace, Name: objectName}}
	if version == "" {
		_, v := splitAPIVersion(apiVersion)
		it.problems = []source.Problem{{
			Field:   "apiVersion",
			Message: fmt.Sprintf("version %q of %s is not understood", v, name),
			Fix:     "write apiVersion: " + k.apiVersion(k.versions[0]),
		}}
	}
	return it, nil
}

func stringAt(raw map[string]any, key, fix string) (string, *source.Problem) {
	switch v := raw[key].(type) {
	case nil:
		return "", &source.Problem{Field: key, Message: "required, but missing", Fix: fix}
	case string:
		if v == "" {
			return "", &source.Problem{Field: key, Message: "required, but empty", Fix: fix}
		}
		return v, nil
	default:
		return "", &source.Problem{Field: key, Message: "a value of type " + kindOfValue(v) + " does not fit here", Fix: "give a string; put numbers in quotes"}
	}
}

func ignoredItem(group, name string, meta map[string]any) *item {
	objectName, _ := meta["name"].(string)
	namespace, _ := meta["namespace"].(string)
	ref := source.Ref{Group: group, Kind: name, Namespace: namespace, Name: objectName}
	return &item{ref: ref, warnings: []source.Problem{{
		Field:   "kind",
		Message: fmt.Sprintf("objects of kind %s are not used here, this one is ignored", kindWithGroup(group, name)),
		Fix:     fixIgnoredKind(name),
	}}}
}

func kindWithGroup(group, name string) string {
	if group == "" {
		return name
	}
	return name + "." + group
}

// decode checks the object and, when all is well, makes the typed one. raw is changed.
func (it *item) decode(raw map[string]any, duplicates []*syntaxError) {
	for _, d := range duplicates {
		it.problems = append(it.problems, source.Problem{Line: d.line, Message: d.message, Fix: "remove one of the two"})
	}
	if len(it.problems) > 0 {
		return
	}
	if !it.kind.keepStatus {
		delete(raw, "status")
	}
	meta := raw["metadata"].(map[string]any)
	it.problems = checkMetadata(meta, it.kind)

	var decoded object
	var problems []source.Problem
	if it.kind.custom {
		decoded, problems = decodeCustom(raw, it.kind)
	} else {
		decoded, problems = decodeCore(raw, it.kind)
	}
	it.problems = append(it.problems, problems...)
	if len(it.problems) > 0 {
		return
	}
	decoded.SetGeneration(1)
	decoded.SetManagedFields(nil)
	content, spec, err := hashObject(decoded)
	if err != nil {
		it.problems = []source.Problem{{Message: "cannot be encoded: " + err.Error()}}
		return
	}
	it.object, it.content, it.spec = decoded, content, spec
}

func decodeCustom(raw map[string]any, k *kind) (object, []source.Problem) {
	_, version := findKind(raw["apiVersion"].(string), k.name)
	schema, err := schemaOf(typeName{k.group, version, k.name})
	if err != nil {
		return nil, []source.Problem{{Message: "cannot be checked: " + err.Error()}}
	}
	if problems := checkCustom(raw, schema); len(problems) > 0 {
		return nil, problems
	}
	raw["apiVersion"] = k.apiVersion(k.versions[0])
	decoded := k.newObject()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, decoded); err != nil {
		return nil, orRaw(fitProblems(raw, reflect.TypeOf(decoded), ""), "", err)
	}
	return decoded, nil
}

func decodeCore(raw map[string]any, k *kind) (object, []source.Problem) {
	decoded := k.newObject()
	if err := decodeStrict(raw, decoded); err != nil {
		problems := fitProblems(raw, reflect.TypeOf(decoded), "")
		return nil, withoutMetadata(orRaw(problems, "", err))
	}
	if k.settle != nil {
		k.settle(decoded)
	}
	if k.check == nil {
		return decoded, nil
	}
	return decoded, k.check(decoded)
}

// withoutMetadata drops what checkMetadata reports as well.
func withoutMetadata(problems []source.Problem) []source.Problem {
	out := problems[:0]
	for _, p := range problems {
		if p.Field != "metadata" && !strings.HasPrefix(p.Field, "metadata.") && !strings.HasPrefix(p.Field, "metadata[") {
			out = append(out, p)
		}
	}
	return out
}

// hashObject hashes the whole object and, apart from it, what a new generation depends on: all but the
// metadata and the status.
func hashObject(o object) (content, spec xxh3.Uint128, err error) {
	text, err := json.Marshal(o)
	if err != nil {
		return content, spec, err
	}
	v := reflect.ValueOf(o).Elem()
	bare := reflect.New(v.Type())
	bare.Elem().Set(v)
	for _, name := range []string{"TypeMeta", "ObjectMeta", "Status"} {
		if f := bare.Elem().FieldByName(name); f.IsValid() {
			f.SetZero()
		}
	}
	bareText, err := json.Marshal(bare.Interface())
	if err != nil {
		return content, spec, err
	}
	return xxh3.Hash128(text), xxh3.Hash128(bareText), nil
}

package file

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

//go:embed schemas/schemas.json.gz
var packedSchemas []byte

// crdSchema checks the objects of one custom kind. It is safe for concurrent use.
type crdSchema struct {
	structural *structural.Structural
	openAPI    validation.SchemaValidator
	rules      *cel.Validator // nil when the schema has no CEL rules
}

// schemaBundle is the embedded file; each schema is compiled when the first object of its kind comes by,
// because compiling all of them takes about as long as the rest of the start.
type schemaBundle struct {
	byType  map[typeName]int
	compile []func() (*crdSchema, error)
}

type typeName struct{ group, version, kind string }

var loadSchemas = sync.OnceValues(openSchemas)

func openSchemas() (*schemaBundle, error) {
	r, err := gzip.NewReader(bytes.NewReader(packedSchemas))
	if err != nil {
		return nil, fmt.Errorf("unpack the CRD schemas: %w", err)
	}
	var content struct {
		Types []struct {
			Group, Version, Kind string
			Schema               int
		}
		Schemas []json.RawMessage
	}
	if err := json.NewDecoder(r).Decode(&content); err != nil {
		return nil, fmt.Errorf("decode the CRD schemas: %w", err)
	}
	b := &schemaBundle{byType: map[typeName]int{}}
	for _, t := range content.Types {
		b.byType[typeName{t.Group, t.Version, t.Kind}] = t.Schema
	}
	for _, text := range content.Schemas {
		b.compile = append(b.compile, sync.OnceValues(func() (*crdSchema, error) { return compileSchema(text) }))
	}
	return b, nil
}

// schemaOf gives the compiled schema of a custom kind that the kinds table names.
func schemaOf(t typeName) (*crdSchema, error) {
	b, err := loadSchemas()
	if err != nil {
		return nil, err
	}
	i, ok := b.byType[t]
	if !ok {
		return nil, fmt.Errorf("no schema of %s/%s %s", t.group, t.version, t.kind)
	}
	return b.compile[i]()
}

func compileSchema(text []byte) (*crdSchema, error) {
	var external apiextensionsv1.JSONSchemaProps
	if err := json.Unmarshal(text, &external); err != nil {
		return nil, fmt.Errorf("decode schema: %w", err)
	}
	var props apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&external, &props, nil); err != nil {
		return nil, fmt.Errorf("convert schema: %w", err)
	}
	s, err := structural.NewStructural(&props)
	if err != nil {
		return nil, fmt.Errorf("structure schema: %w", err)
	}
	openAPI, _, err := validation.NewSchemaValidator(&props)
	if err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	return &crdSchema{structural: s, openAPI: openAPI, rules: cel.NewValidator(s, true, celconfig.PerCallLimit)}, nil
}

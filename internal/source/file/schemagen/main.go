// Command schemagen writes the CRD schemas that package file checks manifests against.
//
// It reads the CRDs of the two upstream modules in the versions that go.mod names, and those of our own chart, keeps what a
// check of a manifest needs and writes one JSON text, compressed. It must not be linked into the control plane.
//
//	CRDs in the module cache and in charts -> schemas/schemas.json.gz -> go:embed in package file
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/switchyard/switchyard/internal/source/llmd"
)

// own is the module that this program is part of.
const own = "github.com/switchyard/switchyard"

// sources are the CRD files wanted, as module and path inside it. Where also names another group, kinds of that group have the same
// fields.
var sources = []struct{ module, path, also string }{
	{"sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_gatewayclasses.yaml", ""},
	{"sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_gateways.yaml", ""},
	{"sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml", ""},
	{"sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_referencegrants.yaml", ""},
	{"sigs.k8s.io/gateway-api-inference-extension", "config/crd/bases/inference.networking.k8s.io_inferencepools.yaml", ""},
	{own, "charts/llm-d-router-gateway/crds/llm-d.ai_inferenceobjectives.yaml", llmd.OlderGroup},
	{own, "charts/llm-d-router-gateway/crds/llm-d.ai_inferencemodelrewrites.yaml", llmd.OlderGroup},
}

// wantedVersions are the API versions kept, when the CRD serves them.
var wantedVersions = []string{"v1", "v1beta1", llmd.Version}

// bundle is the file's content. Equal schemas are held once.
type bundle struct {
	Types   []typeSchema      `json:"types"`
	Schemas []json.RawMessage `json:"schemas"`
}

type typeSchema struct {
	Group   string `json:"group"`
	Version string `json:"version"`
	Kind    string `json:"kind"`
	Schema  int    `json:"schema"` // index in bundle.Schemas
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: schemagen OUTPUT.json.gz")
	}
	text, err := generate()
	if err != nil {
		log.Fatal(err)
	}
	packed, err := compress(text)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(os.Args[1], packed, 0o644); err != nil {
		log.Fatal(err)
	}
}

// generate gives the JSON text, the same bytes for the same module versions.
func generate() ([]byte, error) {
	var b bundle
	for _, s := range sources {
		dir, err := moduleDir(s.module)
		if err != nil {
			return nil, err
		}
		if err := b.addCRD(filepath.Join(dir, s.path), s.also); err != nil {
			return nil, err
		}
	}
	return json.Marshal(b)
}

func moduleDir(module string) (string, error) {
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find module %s: %w", module, err)
	}
	dir := strings.TrimSpace(string(out))
	if dir == "" {
		return "", fmt.Errorf("module %s is not in the module cache; run go mod download", module)
	}
	return dir, nil
}

// addCRD adds the versions of a CRD under its own group and, when one is given, under another.
func (b *bundle) addCRD(path, also string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read CRD: %w", err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &crd); err != nil {
		return fmt.Errorf("decode CRD %s: %w", path, err)
	}
	for _, v := range crd.Spec.Versions {
		if !v.Served || !slices.Contains(wantedVersions, v.Name) {
			continue
		}
		schema, err := compactSchema(v.Schema.OpenAPIV3Schema)
		if err != nil {
			return fmt.Errorf("schema %s of %s: %w", v.Name, path, err)
		}
		for _, group := range []string{crd.Spec.Group, also} {
			if group != "" {
				b.Types = append(b.Types, typeSchema{Group: group, Version: v.Name, Kind: crd.Spec.Names.Kind, Schema: b.indexOf(schema)})
			}
		}
	}
	return nil
}

func (b *bundle) indexOf(schema json.RawMessage) int {
	for i, s := range b.Schemas {
		if bytes.Equal(s, schema) {
			return i
		}
	}
	b.Schemas = append(b.Schemas, schema)
	return len(b.Schemas) - 1
}

// compactSchema drops what a manifest is not checked against: descriptions, examples and the status, which
// a manifest does not set.
func compactSchema(schema *apiextensionsv1.JSONSchemaProps) (json.RawMessage, error) {
	schema = schema.DeepCopy()
	delete(schema.Properties, "status")
	text, err := json.Marshal(schema)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	stripSchema(tree)
	return json.Marshal(tree)
}

// stripSchema removes the prose of one schema node and of those below it. It walks schema positions only,
// because a property may itself be called "description".
func stripSchema(node map[string]any) {
	for _, k := range []string{"description", "title", "example", "externalDocs"} {
		delete(node, k)
	}
	for _, k := range []string{"items", "additionalProperties", "not"} {
		if sub, ok := node[k].(map[string]any); ok {
			stripSchema(sub)
		}
	}
	for _, k := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := node[k].([]any)
		for _, e := range list {
			if sub, ok := e.(map[string]any); ok {
				stripSchema(sub)
			}
		}
	}
	properties, _ := node["properties"].(map[string]any)
	for _, e := range properties {
		if sub, ok := e.(map[string]any); ok {
			stripSchema(sub)
		}
	}
}

func compress(text []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

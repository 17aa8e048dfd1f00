package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"testing"
)

// The text is compared, not the compressed bytes: those may differ between Go versions.
func TestSchemasAreFresh(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open("../schemas/schemas.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("schemas.json.gz (%d bytes unpacked) is not what go.mod's CRDs give (%d bytes); run: go generate ./internal/source/file", len(got), len(want))
	}
}

func TestGenerateIsDeterministic(t *testing.T) {
	var packed [2][]byte
	for i := range packed {
		text, err := generate()
		if err != nil {
			t.Fatal(err)
		}
		if packed[i], err = compress(text); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(packed[0], packed[1]) {
		t.Fatal("two runs gave different bytes")
	}
}

func TestStripSchemaKeepsPropertiesNamedLikeProse(t *testing.T) {
	node := map[string]any{
		"description": "prose",
		"properties": map[string]any{
			"description": map[string]any{"type": "string", "description": "prose"},
		},
	}
	stripSchema(node)
	if _, ok := node["description"]; ok {
		t.Error("the node's own description stayed")
	}
	property, ok := node["properties"].(map[string]any)["description"].(map[string]any)
	if !ok {
		t.Fatal("the property called description is gone")
	}
	if _, ok := property["description"]; ok {
		t.Error("the property's description stayed")
	}
}

package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestExamples loads every example: none may rot.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d examples, error %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := Load(text)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		} else if len(loaded.Warnings) > 0 {
			t.Errorf("%s: warnings %q", file, loaded.Warnings)
		}
	}
}

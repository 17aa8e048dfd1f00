package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad checks that any text gives a configuration or an error, never both or neither, and the same one each time.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d golden files, error %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		input, _, _ := strings.Cut(string(text), separator)
		f.Add([]byte(input))
	}
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("{\"apiVersion\":\"llm-d.ai/v1alpha1\",\"kind\":\"EndpointPickerConfig\",\"plugins\":[{\"type\":\"queue-scorer\",\"parameters\":null}]}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		loaded, err := Load(text)
		if (loaded == nil) == (err == nil) {
			t.Fatalf("configuration %v, error %v", loaded, err)
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), kind+": ") {
				t.Errorf("error %q does not say of what", err)
			}
			return
		}
		if loaded.Handler == nil || len(loaded.Profiles) == 0 {
			t.Errorf("nobody decides: %+v", loaded)
		}
		again, err := Load(text)
		if err != nil || describe(again, nil) != describe(loaded, nil) {
			t.Errorf("the second time it is another: %v", err)
		}
	})
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const again = "write it again with: go generate ./docs/plugins/gen"

// TestPagesAreUpToDate compares the pages with what the code says now.
func TestPagesAreUpToDate(t *testing.T) {
	pages, err := render("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil || string(got) != want {
			t.Errorf("docs/plugins/%s is not what the code says (error %v); %s", name, err, again)
		}
	}
	files, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, ok := pages[filepath.Base(file)]; !ok {
			t.Errorf("docs/plugins/%s is the page of no plugin; %s", filepath.Base(file), again)
		}
	}
}

func TestPagesSayWhatThePluginsDo(t *testing.T) {
	pages, err := render("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for name, wanted := range map[string][]string{
		"queue-scorer.md":  {"Role: scorer. Stability: stable.", "`queue-scorer` prefers endpoints", "## Parameters\n\nTakes no parameters.", "epp/scheduling/scorer/queue.go"},
		"decode-filter.md": {"Role: filter.", "without the label"},
		"by-label.md":      {"Stability: deprecated.", "`validValues`"},
		"README.md":        {"[queue-scorer](queue-scorer.md) | scorer | stable", "`openai-parser` | parser"},
	} {
		for _, want := range wanted {
			if !strings.Contains(pages[name], want) {
				t.Errorf("%s lacks %q:\n%s", name, want, pages[name])
			}
		}
	}
}

func TestStalePagesAreRemoved(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{"gone.md": "x", "kept.md": "old", "other.txt": "x"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(folder, map[string]string{"kept.md": "new"}); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(left) != 2 {
		t.Fatalf("left %v, error %v", left, err)
	}
	if text, _ := os.ReadFile(filepath.Join(folder, "kept.md")); string(text) != "new" {
		t.Errorf("kept.md is %q", text)
	}
}

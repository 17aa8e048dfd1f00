package config

import (
	"slices"
	"testing"
)

// TestTheCatalogueIsConsistent checks that a type is either there or not yet, and that what is experimental is said alike.
func TestTheCatalogueIsConsistent(t *testing.T) {
	for name, known := range builtin() {
		if slices.Contains(notYet, name) {
			t.Errorf("%s is there, and not yet", name)
		}
		if (known.stability == Alpha) != experimental[name] {
			t.Errorf("%s: stability %q, but experimental: %v", name, known.stability, experimental[name])
		}
	}
	for name := range experimental {
		if _, known := builtin()[name]; !known && !slices.Contains(notYet, name) {
			t.Errorf("%s is experimental, but nobody knows it", name)
		}
	}
}

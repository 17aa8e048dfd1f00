package session

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestBindingsAreBounded(t *testing.T) {
	b, err := newBindings(60, 10)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for i := range maxBindings + 10 {
		b.put(fmt.Sprint(i), "e", start)
	}
	b.put(strings.Repeat("x", maxSessionID+1), "e", start)
	if len(b.byID) != maxBindings {
		t.Fatalf("%d bindings, want %d", len(b.byID), maxBindings)
	}
	b.put("0", "other", start)
	if got := b.get("0", start); got != "other" {
		t.Errorf("a known session is bound to %q although there are many", got)
	}
	b.put("late", "e", start.Add(2*time.Minute))
	if len(b.byID) != 1 || b.get("late", start.Add(2*time.Minute)) != "e" {
		t.Errorf("%d bindings after all others have expired, want 1", len(b.byID))
	}
}

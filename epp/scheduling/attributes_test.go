package scheduling

import (
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
)

// TestAttributesEndWithTheirCycle uses the same memory over and over.
func TestAttributesEndWithTheirCycle(t *testing.T) {
	for range 100 {
		c := NewCycle(&body.Request{}, nil, time.Now())
		if got := c.Attribute("session"); got != "" {
			t.Fatalf("a new cycle has the attribute %q", got)
		}
		c.PutAttribute("session", "1")
		c.PutAttribute("agent", "2")
		c.PutAttribute("session", "3")
		if c.Attribute("session") != "3" || c.Attribute("agent") != "2" || len(c.attributes) != 2 {
			t.Fatalf("attributes %v", c.attributes)
		}
		c.Release()
	}
}

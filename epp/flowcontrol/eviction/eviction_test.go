package eviction

import (
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/flowcontrol"
)

func TestParameters(t *testing.T) {
	for name, build := range map[string]func([]byte) error{
		SheddableType:        func(raw []byte) error { _, err := NewSheddable(raw); return err },
		PriorityThenTimeType: func(raw []byte) error { _, err := NewPriorityThenTime(raw); return err },
	} {
		if err := build(nil); err != nil {
			t.Errorf("%s without parameters: %v", name, err)
		}
		if build([]byte(`{"a": 1}`)) == nil {
			t.Errorf("%s takes a parameter that it does not have", name)
		}
	}
}

func TestSheddable(t *testing.T) {
	for priority, want := range map[int]bool{-7: true, -1: true, 0: false, 3: false} {
		if got := (Sheddable{}).Evictable(&flowcontrol.InFlight{Priority: priority}); got != want {
			t.Errorf("priority %d: %v", priority, got)
		}
	}
}

func TestPriorityThenTime(t *testing.T) {
	now := time.Unix(1000, 0)
	low, lowLater, high := flowcontrol.InFlight{Priority: -5, Dispatched: now}, flowcontrol.InFlight{Priority: -5, Dispatched: now.Add(time.Second)},
		flowcontrol.InFlight{Priority: -1, Dispatched: now.Add(time.Hour)}
	for name, test := range map[string]struct {
		a, b flowcontrol.InFlight
		want bool
	}{
		"lower first": {low, high, true}, "higher last": {high, low, false}, "later first": {lowLater, low, true},
		"earlier last": {low, lowLater, false}, "equal": {low, low, false},
	} {
		if got := (PriorityThenTime{}).Before(&test.a, &test.b); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

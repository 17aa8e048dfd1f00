package ordering

import "testing"

func TestParameters(t *testing.T) {
	for name, build := range map[string]func([]byte) error{
		FCFSType:        func(raw []byte) error { _, err := NewFCFS(raw); return err },
		EDFType:         func(raw []byte) error { _, err := NewEDF(raw); return err },
		SLODeadlineType: func(raw []byte) error { _, err := NewSLODeadline(raw); return err },
	} {
		if err := build(nil); err != nil {
			t.Errorf("%s without parameters: %v", name, err)
		}
		if build([]byte(`{"a": 1}`)) == nil {
			t.Errorf("%s takes a parameter that it does not have", name)
		}
	}
}

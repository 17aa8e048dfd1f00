package scheduling

import (
	"bytes"
	"fmt"

	kjson "sigs.k8s.io/json"
)

// DecodeParameters reads a plugin's raw JSON parameters into dst and refuses fields that dst does not have. Absent
// parameters leave dst as it is, so a constructor fills in its defaults first.
func DecodeParameters(raw []byte, dst any) error {
	if trimmed := bytes.TrimSpace(raw); len(trimmed) == 0 || bytes.Equal(trimmed, []byte("null")) {
		return nil
	}
	strict, err := kjson.UnmarshalStrict(raw, dst)
	if err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	if len(strict) > 0 {
		return fmt.Errorf("parameters: %w; remove it or correct its spelling", strict[0])
	}
	return nil
}

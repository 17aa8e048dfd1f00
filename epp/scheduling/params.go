package scheduling

import (
	"bytes"
	"fmt"
	"strings"

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

// HeaderName checks the name of a header that a parameter gives and returns it in lower case.
func HeaderName(field, name string) (string, error) {
	if name == "" {
		return "", fmt.Errorf("parameters: %s: missing; give the name of a header", field)
	}
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("!#$%&'*+-.^_`|~", r):
		default:
			return "", fmt.Errorf("parameters: %s: %q is not the name of a header", field, name)
		}
	}
	return strings.ToLower(name), nil
}

// OneProducer checks a parameter that names the data producer to read from: there is one of each kind.
func OneProducer(field, given, only string) error {
	if given != "" && given != only {
		return fmt.Errorf("parameters: %s: %q is not supported by this version; leave it out or use %q", field, given, only)
	}
	return nil
}

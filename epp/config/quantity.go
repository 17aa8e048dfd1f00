package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// absent tells whether a field is left out, or null.
func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// readQuantity reads a whole number of at least 0, written as Kubernetes writes quantities: 5000, 10G, 1Gi. Absent is 0.
func readQuantity(where string, raw json.RawMessage) (int64, error) {
	if absent(raw) {
		return 0, nil
	}
	var quantity resource.Quantity
	if err := json.Unmarshal(raw, &quantity); err != nil {
		return 0, fmt.Errorf("%s: %s is not a quantity; give a number such as 5000 or 1Gi", where, plain(raw))
	}
	value, whole := quantity.AsInt64()
	switch {
	case quantity.Sign() < 0:
		return 0, fmt.Errorf("%s: %s is below 0", where, plain(raw))
	case !whole:
		return 0, fmt.Errorf("%s: %s is not a whole number, or too large", where, plain(raw))
	}
	return value, nil
}

// readDuration reads a duration of at least 0.
func readDuration(where string, raw json.RawMessage, instead time.Duration) (time.Duration, error) {
	if absent(raw) {
		return instead, nil
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return 0, fmt.Errorf("%s: %s is not a duration; give one with its unit, such as 30s", where, plain(raw))
	}
	duration, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s: %q is not a duration; give one with its unit, such as 30s", where, text)
	case duration < 0:
		return 0, fmt.Errorf("%s: %s is below 0", where, duration)
	}
	return duration, nil
}

// plain is JSON as the user wrote it in YAML, nearly.
func plain(raw json.RawMessage) string { return strings.Trim(string(raw), `"`) }

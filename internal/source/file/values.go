package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	yamlv2 "go.yaml.in/yaml/v2"
	kjson "sigs.k8s.io/json"
)

// maxExpandedBytes bounds a document after its YAML aliases are followed: strings plus one per value.
const maxExpandedBytes = 2 * MaxFileBytes

// parseYAML decodes with the YAML 1.1 rules that kubectl applies, so that a manifest means here what it
// means on a cluster.
func parseYAML(text []byte) (any, []*syntaxError, error) {
	var raw any
	var duplicates []*syntaxError
	if err := yamlv2.UnmarshalStrict(text, &raw); err != nil {
		var repeated *yamlv2.TypeError
		if !errors.As(err, &repeated) {
			return nil, nil, describeYAMLError(err.Error())
		}
		for _, e := range repeated.Errors {
			duplicates = append(duplicates, describeYAMLError(e))
		}
		raw = nil
		if err := yamlv2.Unmarshal(text, &raw); err != nil {
			return nil, nil, describeYAMLError(err.Error())
		}
	}
	left := maxExpandedBytes
	value, err := plainValue(raw, &left)
	if err != nil {
		return nil, nil, &syntaxError{message: err.Error()}
	}
	return value, duplicates, nil
}

var yamlLine = regexp.MustCompile(`(?s)^(?:yaml: )?line (\d+): (.*)$`)

func describeYAMLError(text string) *syntaxError {
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			return &syntaxError{line: n, message: m[2]}
		}
	}
	return &syntaxError{message: strings.TrimPrefix(text, "yaml: ")}
}

func parseJSON(text []byte) (any, []*syntaxError, error) {
	var value any
	strict, err := kjson.UnmarshalStrict(text, &value)
	if err != nil {
		return nil, nil, describeJSONError(text, err)
	}
	var duplicates []*syntaxError
	for _, e := range strict {
		duplicates = append(duplicates, &syntaxError{message: e.Error()})
	}
	return value, duplicates, nil
}

// plainValue turns what the YAML decoder gives into the values that JSON decoding would give: string keys,
// int64 and float64 numbers. left is the size budget.
func plainValue(v any, left *int) (any, error) {
	*left--
	if *left < 0 {
		return nil, fmt.Errorf("the document is larger than %d bytes once its aliases are followed", maxExpandedBytes)
	}
	switch v := v.(type) {
	case nil, bool:
		return v, nil
	case string:
		*left -= len(v)
		return strings.ToValidUTF8(v, "\uFFFD"), nil
	case int:
		return int64(v), nil
	case int64:
		return v, nil
	case uint64:
		return float64(v), nil // above the int64 range; the decoder gives int otherwise
	case float64:
		return plainFloat(v)
	case []any:
		return plainList(v, left)
	case map[any]any:
		return plainMap(v, left)
	}
	return nil, fmt.Errorf("a value of type %T has no place in a manifest", v)
}

func plainFloat(f float64) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, errors.New(".nan and .inf have no place in a manifest")
	}
	if f == math.Trunc(f) {
		// The shortest decimal that means f, as in JSON: above 2^53 it is not always f itself.
		if n, err := strconv.ParseInt(strconv.FormatFloat(f, 'f', -1, 64), 10, 64); err == nil {
			return n, nil
		}
	}
	return f, nil
}

func plainList(in []any, left *int) (any, error) {
	out := make([]any, len(in))
	for i, e := range in {
		var err error
		if out[i], err = plainValue(e, left); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func plainMap(in map[any]any, left *int) (any, error) {
	out := make(map[string]any, len(in))
	for k, e := range in {
		key, err := plainKey(k)
		if err != nil {
			return nil, err
		}
		if _, taken := out[key]; taken {
			return nil, fmt.Errorf("key %q is there twice", key)
		}
		*left -= len(key)
		if out[key], err = plainValue(e, left); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func plainKey(k any) (string, error) {
	switch k := k.(type) {
	case string:
		return strings.ToValidUTF8(k, "\uFFFD"), nil
	case int:
		return strconv.Itoa(k), nil
	case int64:
		return strconv.FormatInt(k, 10), nil
	case bool:
		return strconv.FormatBool(k), nil
	}
	return "", fmt.Errorf("key %v is not a string; put it in quotes", k)
}

// decodeStrict fills target from plain values. It reports only whether it fits: fitProblems finds out why not.
func decodeStrict(value, target any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	strict, err := kjson.UnmarshalStrict(text, target)
	if err != nil {
		return err
	}
	return errors.Join(strict...)
}

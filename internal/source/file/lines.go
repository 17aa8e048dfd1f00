package file

import (
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// locator finds the line of a field in one document. The document is parsed a second time for that, and
// only when there is something to report.
type locator struct {
	text   []byte
	root   *yamlv3.Node
	parsed bool
}

// line gives the 1-based line, in the document, of the field or of the nearest value around it that is
// there. It is 0 when the text cannot be parsed.
func (l *locator) line(field string) int {
	if !l.parsed {
		l.parsed = true
		var doc yamlv3.Node
		if yamlv3.Unmarshal(l.text, &doc) == nil && len(doc.Content) > 0 {
			l.root = doc.Content[0]
		}
	}
	if l.root == nil {
		return 0
	}
	node, line := l.root, l.root.Line
	for _, step := range splitPath(field) {
		key, value := childNode(node, step)
		if value == nil {
			break
		}
		line, node = key.Line, value
	}
	return line
}

// childNode follows one step of a path; key is the node whose line is told.
func childNode(node *yamlv3.Node, step string) (key, value *yamlv3.Node) {
	if node.Kind == yamlv3.AliasNode {
		node = node.Alias
	}
	switch node.Kind {
	case yamlv3.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i], node.Content[i]
		}
	case yamlv3.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i], node.Content[i+1]
			}
		}
	}
	return nil, nil
}

// splitPath cuts spec.rules[0].backendRefs into its steps. Keys in brackets may hold dots.
func splitPath(field string) []string {
	var steps []string
	for field != "" {
		switch i := strings.IndexAny(field, ".["); {
		case i < 0:
			return append(steps, field)
		case i > 0:
			steps = append(steps, field[:i])
			field = field[i:]
		case field[0] == '.':
			field = field[1:]
		default:
			step, rest, _ := strings.Cut(field[1:], "]")
			steps = append(steps, step)
			field = rest
		}
	}
	return steps
}

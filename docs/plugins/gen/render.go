package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/switchyard/switchyard/epp/config"
)

// packages hold plugins, as folders of the module.
var packages = []string{
	"epp/scheduling/filter", "epp/scheduling/scorer", "epp/scheduling/picker", "epp/scheduling/profile", "epp/scheduling/producer",
	"epp/scheduling/admitter", "epp/scheduling/decider", "epp/response", "epp/config", "epp/discovery",
	"epp/flowcontrol/saturation", "epp/flowcontrol/fairness", "epp/flowcontrol/ordering", "epp/flowcontrol/usagelimit", "epp/flowcontrol/eviction",
}

// render makes the pages by file name.
func render(root string) (map[string]string, error) {
	comments := map[string]comment{}
	for _, folder := range packages {
		if err := read(root, folder, comments); err != nil {
			return nil, err
		}
	}
	pages := map[string]string{}
	var index strings.Builder
	index.WriteString("# Plugins\n\nEvery plugin type that an EndpointPickerConfig may name. Written by `go generate ./docs/plugins/gen`.\n\n" +
		"| type | role | stability |\n|---|---|---|\n")
	for _, t := range config.Types() {
		name := "`" + t.Name + "`"
		if found, ok := comments[t.Name]; ok {
			pages[t.Name+".md"] = page(t, found)
			name = fmt.Sprintf("[%s](%s.md)", t.Name, t.Name)
		}
		fmt.Fprintf(&index, "| %s | %s | %s |\n", name, t.Role, stability(t))
	}
	pages["README.md"] = index.String()
	return pages, nil
}

func page(t config.Type, c comment) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nRole: %s. Stability: %s.\n\n", t.Name, t.Role, stability(t))
	if t.Stability == config.Alpha {
		b.WriteString("Needs `--allow-experimental-plugins`; it may change or go in any version.\n\n")
	}
	if c.about == "" { // the constructor tells it all
		b.WriteString(sentence(c.constructor, c.build) + "\n\n")
	} else {
		b.WriteString(prose(c.name, t.Name, c.about) + "\n\n## Parameters\n\n" + sentence(c.constructor, c.build) + "\n\n")
	}
	fmt.Fprintf(&b, "Code: [%s](../../%s)\n", c.file, c.file)
	return b.String()
}

func stability(t config.Type) string {
	if t.Stability == config.Stable {
		return "stable"
	}
	return string(t.Stability)
}

// prose is the comment of a type with the plugin's own name in place of the type's.
func prose(name, typ, text string) string {
	return strings.TrimSpace(regexp.MustCompile(`\b`+name+`\b`).ReplaceAllLiteralString(text, "`"+typ+"`"))
}

// sentence is the comment of a constructor without its name.
func sentence(name, text string) string {
	text = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), name))
	if text == "" {
		return "None."
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

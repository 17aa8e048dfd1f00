package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// chain is a producer that may name another of its kind.
type chain struct {
	name string
	next any
}

func (c *chain) Produce(cycle *scheduling.Cycle) {
	cycle.PutAttribute("chain", cycle.Attribute("chain")+c.name)
}

// withChains adds a plugin type whose parameters `next` and `deep.next` name another of the type.
func withChains(t *testing.T) {
	t.Helper()
	const typ = "test-chain"
	t.Cleanup(func() {
		Unregister(typ)
		delete(links, typ)
	})
	links[typ] = []link{{field: "next", role: roleProducer}, {field: "deep.next", role: roleProducer}}
	register(typ, entry{role: roleProducer, connect: func(_ []byte, refs references) (any, error) {
		made := &chain{name: refs.self}
		if len(refs.to) > 0 {
			made.next = refs.to[0].built
		}
		return made, nil
	}})
}

func TestPluginsReferInAnyOrder(t *testing.T) {
	withChains(t)
	c := load(t, `
plugins:
- {name: a, type: test-chain, parameters: {next: c}}
- {name: b, type: test-chain}
- {name: c, type: test-chain, parameters: {deep: {next: d}}}
- {name: d, type: test-chain, parameters: {next: b}}
- {type: random-picker}
`)
	var names []string
	for _, declared := range c.Plugins {
		names = append(names, declared.Name)
	}
	if !slices.Equal(names, []string{"a", "b", "c", "d", "random-picker"}) {
		t.Errorf("plugins %v are not in the order of the file", names)
	}
	for _, pair := range [][2]string{{"a", "c"}, {"c", "d"}, {"d", "b"}} {
		var from, to *chain
		for _, declared := range c.Plugins {
			switch declared.Name {
			case pair[0]:
				from = declared.Plugin.(*chain)
			case pair[1]:
				to = declared.Plugin.(*chain)
			}
		}
		if from.next != to {
			t.Errorf("%s does not have %s", pair[0], pair[1])
		}
	}
	cycle := scheduling.NewCycle(&body.Request{}, rolesPool("").Endpoints(), time.Now())
	defer cycle.Release()
	if _, err := c.Handler.Schedule(cycle); err != nil {
		t.Fatal(err)
	}
	if got := cycle.Attribute("chain"); got != "bdca" {
		t.Errorf("producers ran in the order %s, want each behind those that it names: bdca", got)
	}
}

func TestLoopsAreNamed(t *testing.T) {
	withChains(t)
	for text, want := range map[string]string{
		`[{name: a, type: test-chain, parameters: {next: a}}]`: `plugins[0] "a": parameters: next: plugins refer to each other in a loop: a -> a; remove one`,
		`[{name: in, type: test-chain, parameters: {next: a}}, {name: a, type: test-chain, parameters: {deep: {next: b}}}, {name: b, type: test-chain, parameters: {next: c}}, {name: c, type: test-chain, parameters: {next: a}}]`: `plugins[3] "c": parameters: next: plugins refer to each other in a loop: a -> b -> c -> a; remove one`,
		`[{name: a, type: test-chain, parameters: {deep: {next: z}}}]`:                          `plugins[0] "a": parameters: deep.next: "z" is not declared under plugins; declared: a`,
		`[{name: a, type: test-chain, parameters: {next: queue-scorer}}, {type: queue-scorer}]`: `plugins[0] "a": parameters: next: "queue-scorer" is a scorer; wanted here: data producer`,
	} {
		_, err := Load([]byte("apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: " + text + "\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\nerror %v\nwant  %s", text, err, want)
		}
	}
}

package main

import (
	"fmt"
	"strings"
)

// pluginsConfig is the configuration of a picker that matches so many tokens.
func pluginsConfig(matched int) string {
	return fmt.Sprintf(`apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
- type: approx-prefix-cache-producer
  parameters:
    # %d blocks of %d tokens.
    maxPrefixTokensToMatch: %d
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
    weight: 2
  - pluginRef: kv-cache-utilization-scorer
    weight: 2
  - pluginRef: prefix-cache-scorer
    weight: 3
`, matched/tableBlock, tableBlock, matched)
}

// values are the files of examples/values that have a row, by their paths.
func (g results) values() (map[string]string, error) {
	out := map[string]string{}
	for _, r := range rows {
		if r.Kind == kindIdle || r.Streamed {
			continue
		}
		got, ok := g.of(r)
		if !ok {
			return nil, fmt.Errorf("%s has no row %s", resultsFile, r.name())
		}
		path := "examples/values/" + r.name() + ".yaml"
		if r.Kind == kindEPP {
			out[path] = pickerValues(r, got)
			continue
		}
		streamed := r
		streamed.Streamed = true
		other, ok := g.of(streamed)
		if !ok {
			return nil, fmt.Errorf("%s has no row %s", resultsFile, streamed.name())
		}
		out[path] = proxyValues(r, got, streamed, other)
	}
	return out, nil
}

func pickerValues(r row, got result) string {
	var out strings.Builder
	comment(&out, fmt.Sprintf("The picker for %s requests per second of %s tokens in and %s out, %d model servers, at most %d blocks of %d tokens matched.", r.rate(),
		grouped(r.In), grouped(r.Out), servers, r.Blocks, tableBlock),
		fmt.Sprintf("Measured: %s. The operations guide: %.2f cores, %.2f GiB.", r.said(got), r.GuideCPU, r.GuideMemory), ruled)
	need := r.need(got).resources()
	fmt.Fprintf(&out, "router:\n  epp:\n    resources:\n      requests:\n        cpu: %q\n        memory: %s\n      limits:\n        memory: %s\n", need.cpu, need.memory, need.memoryLimit)
	out.WriteString("    pluginsConfigFile: sized-plugins.yaml\n    pluginsCustomConfig:\n      sized-plugins.yaml: |\n")
	for line := range strings.Lines(pluginsConfig(r.matched())) {
		out.WriteString("        " + line)
	}
	return out.String()
}

const ruled = "Requested are " + ruleText + ". Written by `make sizing SIZING=-write`; docs/sizing.md tells how it was measured."

// said is what was measured, with what was scaled told apart.
func (r row) said(got result) string {
	out := fmt.Sprintf("%.2f cores on average, %.2f in the busiest second, %.2f GiB at the peak", got.MeanCores, got.PeakCores, gibi(float64(got.PeakBytes)))
	if r.reached(got) {
		return out
	}
	need := r.need(got)
	return out + fmt.Sprintf(", at %.1f requests per second only; scaled linearly from there, not measured: %.1f cores, %.1f GiB", got.Rate,
		need.meanCores, gibi(need.bytes))
}

// proxyValues are sized for either shape of answers.
func proxyValues(r row, got result, streamed row, other result) string {
	var out strings.Builder
	comment(&out, fmt.Sprintf("Proxies for %s requests per second of %s tokens in and %s out, all of them together.", r.rate(), grouped(r.In), grouped(r.Out)),
		fmt.Sprintf("Measured with answers in one piece: %s.", r.said(got)),
		fmt.Sprintf("With answers streamed token by token: %s.", streamed.said(other)),
		fmt.Sprintf("The operations guide: %.2f cores, %s GiB.", r.GuideCPU, r.guideMemory()), "Both shapes fit.", ruled)
	need := r.need(got).or(streamed.need(other)).resources()
	fmt.Fprintf(&out, "router:\n  proxy:\n    resources:\n      requests:\n        cpu: %q\n        memory: %s\n      limits:\n        memory: %s\n", need.cpu, need.memory, need.memoryLimit)
	return out.String()
}

const commentWidth = 138

// comment writes sentences as comments, each from the start of a line.
func comment(out *strings.Builder, sentences ...string) {
	for _, sentence := range sentences {
		line := "#"
		for _, word := range strings.Fields(sentence) {
			if len(line)+1+len(word) > commentWidth {
				out.WriteString(line + "\n")
				line = "#"
			}
			line += " " + word
		}
		out.WriteString(line + "\n")
	}
}

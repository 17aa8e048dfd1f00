package main

import (
	"fmt"
	"strings"
)

// markdown is the tables of the page.
func (g results) markdown() string {
	var out strings.Builder
	fmt.Fprintf(&out, "\nMeasured on %s, on a virtual machine with %d cores (%s), Go %s, %.0f s for each row. The load average before was %.1f.\n", g.Machine.Date,
		g.Machine.Cores, g.Machine.CPU, g.Machine.Go, g.seconds(), g.Machine.Load)
	if g.Machine.Load > quiet*float64(g.Machine.Cores) {
		out.WriteString("\n**The machine was busy with other things: these figures are preliminary, waits above all.**\n")
	}
	g.idleTable(&out)
	g.pickerTable(&out)
	g.proxyTable(&out, false)
	g.proxyTable(&out, true)
	return out.String()
}

// seconds is how long rows were measured.
func (g results) seconds() float64 {
	if len(g.Rows) == 0 {
		return 0
	}
	return g.Rows[0].Seconds
}

func (g results) idleTable(out *strings.Builder) {
	for _, r := range rows {
		got, ok := g.of(r)
		if r.Kind != kindIdle || !ok {
			continue
		}
		fmt.Fprintf(out, "\n### Picker, no requests, %d model servers scraped\n\n", servers)
		fmt.Fprintf(out, "| cores, mean | busiest second | memory, GiB | the guide: cores |\n|---|---|---|---|\n| %.3f | %.2f | %.2f | about %.1f |\n",
			got.MeanCores, got.PeakCores, gibi(float64(got.PeakBytes)), r.GuideCPU)
	}
}

func (g results) pickerTable(out *strings.Builder) {
	head := fmt.Sprintf("\n### Picker, %d model servers\n\n"+
		"| requests/s: asked, driven | tokens in / out | blocks | in flight | cores: mean, busiest second | CPU ms per request | peak memory, GiB | wait for a pick p50, p95, ms | scheduler p50, ms | the guide: cores, GiB, scheduler p50 |\n"+
		"|---|---|---|---|---|---|---|---|---|---|\n", servers)
	for _, r := range rows {
		got, ok := g.of(r)
		if r.Kind != kindEPP || !ok {
			continue
		}
		out.WriteString(head)
		head = ""
		guide := fmt.Sprintf("%.2f, %.2f", r.GuideCPU, r.GuideMemory)
		if r.GuideWait != "" {
			guide += ", " + r.GuideWait
		}
		fmt.Fprintf(out, "| %s, %s | %s / %s | %d | %s | %s | %.1f | %s | %.2f, %.2f | ≤ %g | %s |\n", r.rate(), got.driven(), tokens(r.In), tokens(r.Out), r.Blocks,
			grouped(got.Flights), r.cores(got), 1000*got.MeanCores/got.Rate, got.filled(), got.WaitP50, got.WaitP95, got.SchedulerP50, guide)
	}
}

// driven is the rate, and what share of it was served without a pick when that is not next to none.
func (got result) driven() string {
	out := fmt.Sprintf("%.1f", got.Rate)
	if got.Picked < mostPicked {
		out += fmt.Sprintf(" (**%.0f %% without a pick**)", 100*(1-got.Picked))
	}
	return out
}

// filled is the picker's memory, and how full its index was when that is not next to full: memory would be told too small.
func (got result) filled() string {
	out := fmt.Sprintf("%.2f", gibi(float64(got.PeakBytes)))
	if share := float64(got.IndexEntries) / (servers * indexBlocks); share < .95 {
		out += fmt.Sprintf(" (**index %.0f %% full**)", 100*share)
	}
	return out
}

// cores are those measured; and where that was at another rate than the row's, what they come to at the row's, marked as such.
func (r row) cores(got result) string {
	out := fmt.Sprintf("%.2f, %.2f", got.MeanCores, got.PeakCores)
	if !r.reached(got) {
		out += fmt.Sprintf(" (at %.1f/s; *scaled to %s/s: %.1f*)", got.Rate, r.rate(), r.need(got).meanCores)
	}
	return out
}

func (g results) proxyTable(out *strings.Builder, streamed bool) {
	shape := "answers in one piece"
	if streamed {
		shape = "answers streamed, each token an event of its own"
	}
	head := fmt.Sprintf("\n### Proxy (Envoy), %s\n\n"+
		"| requests/s: asked, driven | tokens in / out | in flight | cores: mean, busiest second | CPU ms per request | peak memory, GiB | to the model server p50, p95, ms | the guide: cores, GiB |\n"+
		"|---|---|---|---|---|---|---|---|\n", shape)
	for _, r := range rows {
		got, ok := g.of(r)
		if r.Kind != kindProxy || r.Streamed != streamed || !ok {
			continue
		}
		out.WriteString(head)
		head = ""
		fmt.Fprintf(out, "| %s, %s | %s / %s | %s | %s | %.1f | %s | %.1f, %.1f | %.2f, %s |\n", r.rate(), got.driven(), tokens(r.In), tokens(r.Out), grouped(got.Flights),
			r.cores(got), 1000*got.MeanCores/got.Rate, r.memory(got), got.WaitP50, got.WaitP95, r.GuideCPU, r.guideMemory())
	}
}

// memory is that measured, and what it comes to at the row's rate, marked as scaled.
func (r row) memory(got result) string {
	out := fmt.Sprintf("%.2f", gibi(float64(got.PeakBytes)))
	if !r.reached(got) {
		out += fmt.Sprintf(" (*scaled: %.1f*)", gibi(r.need(got).bytes))
	}
	return out
}

func (r row) guideMemory() string {
	if r.GuideLess {
		return fmt.Sprintf("< %.2f", r.GuideMemory)
	}
	return fmt.Sprintf("%.2f", r.GuideMemory)
}

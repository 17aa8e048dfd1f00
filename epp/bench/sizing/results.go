package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// results are what docs/sizing.json holds.
type results struct {
	Machine machine
	Rows    []result
}

// machine is where it was measured.
type machine struct {
	Date  string
	Cores int
	CPU   string
	Go    string
	// Load is how many processes wanted the processor in the minute before, by the kernel's account: what else ran there.
	Load float64
}

// result is what was measured of a row, by its name.
type result struct {
	Row      string
	Rate     float64 // requests per second that were begun
	Requests int
	Seconds  float64
	Flights  int     // requests in flight
	Picked   float64 // the share of the requests that was not served without a pick

	MeanCores, PeakCores float64
	// Memory before the load, at the end of it, and at most.
	IdleBytes, HeldBytes, PeakBytes int64

	// In milliseconds. Of the picker: what a proxy waits for its answer; of proxies: a request's way to the model server.
	WaitP50, WaitP95 float64
	SchedulerP50     float64 // of the picker's own histogram: the bound of the bucket
	IndexEntries     int
}

func thisMachine() machine {
	return machine{Date: time.Now().UTC().Format(time.DateOnly), Cores: runtime.NumCPU(), CPU: processor(), Go: strings.TrimPrefix(runtime.Version(), "go"), Load: loadBefore()}
}

func loadBefore() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return -1
	}
	var load float64
	if _, err := fmt.Sscan(string(text), &load); err != nil {
		return -1
	}
	return load
}

// quiet is the load for each core up to which a machine counts as one that had nothing else to do.
const quiet = .5

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// reached tells whether a row was measured at its own rate.
func (r row) reached(got result) bool { return got.Rate >= .95*r.Rate }

// scale is by how much a figure that was measured at another rate is multiplied; 1 where it was measured at the row's.
func (r row) scale(got result) float64 {
	if r.Kind == kindIdle || r.reached(got) {
		return 1
	}
	return r.Rate / got.Rate
}

// need is what a row needs: measured, or scaled linearly.
type need struct {
	meanCores, peakCores float64
	bytes                float64
}

func (r row) need(got result) need {
	by := r.scale(got)
	return need{got.MeanCores * by, got.PeakCores * by, float64(got.IdleBytes) + float64(got.PeakBytes-got.IdleBytes)*by}
}

// or is what either of two needs at most.
func (n need) or(m need) need {
	return need{max(n.meanCores, m.meanCores), max(n.peakCores, m.peakCores), max(n.bytes, m.bytes)}
}

// resources are what values ask for.
type resources struct{ cpu, memory, memoryLimit string }

// The rule of the values: processor one and a half times the mean, or the busiest second, whichever is more, rounded up to half a core;
// memory the peak, and as the limit twice the peak, rounded up to 256 MiB.
const (
	headRoom   = 1.5
	cpuStep    = .5
	memoryStep = 256 << 20
	memoryRoom = 2
)

const ruleText = "1.5 times the mean of the processor or its busiest second, whichever is more, rounded up to half a core; the peak of the " +
	"memory, and twice the peak as its limit, rounded up to 256 MiB"

func (n need) resources() resources {
	cores := math.Ceil(max(headRoom*n.meanCores, n.peakCores)/cpuStep) * cpuStep
	return resources{cpuText(cores), memoryText(n.bytes), memoryText(memoryRoom * n.bytes)}
}

func cpuText(cores float64) string {
	if cores == math.Trunc(cores) {
		return fmt.Sprintf("%.0f", cores)
	}
	return fmt.Sprintf("%.0fm", cores*1000)
}

func memoryText(bytes float64) string {
	steps := int(math.Ceil(bytes / memoryStep))
	if steps%4 == 0 {
		return fmt.Sprintf("%dGi", steps/4)
	}
	return fmt.Sprintf("%dMi", steps*memoryStep>>20)
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func gibi(bytes float64) float64 { return bytes / (1 << 30) }

const resultsFile = "docs/sizing.json"

func readResults(root string) (results, error) {
	var out results
	text, err := os.ReadFile(filepath.Join(root, resultsFile))
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(text, &out); err != nil {
		return out, fmt.Errorf("reading %s: %w", resultsFile, err)
	}
	return out, nil
}

// of gives the result of a row.
func (g results) of(r row) (result, bool) {
	for _, got := range g.Rows {
		if got.Row == r.name() {
			return got, true
		}
	}
	return result{}, false
}

// files are what is written from the results, by their paths.
func (g results) files(root string) (map[string]string, error) {
	text, err := json.MarshalIndent(g, "", " ")
	if err != nil {
		return nil, err
	}
	out := map[string]string{resultsFile: string(text) + "\n"}
	page, err := os.ReadFile(filepath.Join(root, pageFile))
	if err != nil {
		return nil, err
	}
	if out[pageFile], err = between(string(page), g.markdown()); err != nil {
		return nil, err
	}
	values, err := g.values()
	if err != nil {
		return nil, err
	}
	for path, text := range values {
		out[path] = text
	}
	return out, nil
}

func (g results) write(root string) error {
	files, err := g.files(root)
	if err != nil {
		return err
	}
	for path, text := range files {
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const pageFile = "docs/sizing.md"

// What stands between these lines of the page is written by this command.
const (
	pageBegin = "<!-- tables: written by epp/bench/sizing -->\n"
	pageEnd   = "<!-- end of the tables -->\n"
)

func between(page, tables string) (string, error) {
	before, rest, ok := strings.Cut(page, pageBegin)
	_, after, closed := strings.Cut(rest, pageEnd)
	if !ok || !closed {
		return "", fmt.Errorf("%s has no lines %q and %q for the tables to stand between", pageFile, pageBegin, pageEnd)
	}
	return before + pageBegin + tables + pageEnd + after, nil
}

package profile

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Decision is how a request was split over servers.
type Decision uint8

// The decisions there are. Who decodes does what no other stage does.
const (
	DecodeOnly Decision = iota
	PrefillDecode
	EncodeDecode
	EncodePrefillDecode
	decisionCount
)

var decisionNames = [decisionCount]string{"decode-only", "prefill-decode", "encode-decode", "encode-prefill-decode"}

// String is the decision as metrics name it.
func (d Decision) String() string { return decisionNames[d] }

// Bounds of the model label, which clients choose.
const (
	maxModels     = 1000
	maxModelBytes = 256
	otherModels   = "other"
	noModel       = "unknown"
)

// Decisions counts decisions by model. It is read when metrics are scraped. Safe for concurrent use.
type Decisions struct {
	name, typ string

	// models is replaced as a whole, so that counting takes no lock.
	models atomic.Pointer[map[string]*[decisionCount]atomic.Uint64]
	mu     sync.Mutex // of those who replace it
}

// NewDecisions counts for the plugin of that name and type.
func NewDecisions(name, typ string) *Decisions {
	d := &Decisions{name: name, typ: typ}
	d.models.Store(&map[string]*[decisionCount]atomic.Uint64{})
	return d
}

// Inc counts one decision. Beyond 1000 models the others are counted as one.
func (d *Decisions) Inc(model string, decision Decision) {
	counts, ok := (*d.models.Load())[model]
	if !ok {
		counts = d.admit(model)
	}
	counts[decision].Add(1)
}

func (d *Decisions) admit(model string) *[decisionCount]atomic.Uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := *d.models.Load()
	switch {
	case model == "":
		model = noModel
	case len(model) > maxModelBytes:
		model = model[:maxModelBytes]
	}
	model = strings.ToValidUTF8(strings.Clone(model), "?")
	if counts, ok := known[model]; ok {
		return counts
	}
	if len(known) >= maxModels {
		model = otherModels
		if counts, ok := known[model]; ok {
			return counts
		}
	}
	more := make(map[string]*[decisionCount]atomic.Uint64, len(known)+1)
	maps.Copy(more, known)
	counts := new([decisionCount]atomic.Uint64)
	more[model] = counts
	d.models.Store(&more)
	return counts
}

// Count is how often a decision was counted for a model.
func (d *Decisions) Count(model string, decision Decision) uint64 {
	counts, ok := (*d.models.Load())[model]
	if !ok {
		return 0
	}
	return counts[decision].Load()
}

const decisionsHelp = "Requests by how they were split over servers."

// Collectors are the series that show the counts under their names. The second one repeats the first.
func (d *Decisions) Collectors() []prometheus.Collector {
	labels := []string{"plugin_name", "plugin_type", "model_name", "decision_type"}
	return []prometheus.Collector{
		&decisionCollector{d, prometheus.NewDesc("llm_d_epp_disagg_decision_total", "[ALPHA] "+decisionsHelp, labels, nil), true},
		&decisionCollector{d, prometheus.NewDesc("llm_d_epp_pd_decision_total",
			"[ALPHA] [Deprecated: Use llm_d_epp_disagg_decision_total] "+decisionsHelp, labels, nil), true},
	}
}

// LegacyCollectors are the series of before those names, without the plugin's labels.
func (d *Decisions) LegacyCollectors() []prometheus.Collector {
	labels := []string{"model_name", "decision_type"}
	const old, current = "llm_d_inference_scheduler_", "[ALPHA] [Deprecated: Use llm_d_epp_"
	return []prometheus.Collector{
		&decisionCollector{d, prometheus.NewDesc(old+"disagg_decision_total", current+"disagg_decision_total] "+decisionsHelp, labels, nil), false},
		&decisionCollector{d, prometheus.NewDesc(old+"pd_decision_total", current+"pd_decision_total] "+decisionsHelp, labels, nil), false},
	}
}

type decisionCollector struct {
	decisions   *Decisions
	description *prometheus.Desc
	ofPlugin    bool // has the plugin's labels
}

// Describe implements prometheus.Collector.
func (c *decisionCollector) Describe(out chan<- *prometheus.Desc) { out <- c.description }

// Collect implements prometheus.Collector. A decision that was never taken for a model has no series.
func (c *decisionCollector) Collect(out chan<- prometheus.Metric) {
	for model, counts := range *c.decisions.models.Load() {
		for decision := range decisionCount {
			n := counts[decision].Load()
			if n == 0 {
				continue
			}
			labels := []string{model, decision.String()}
			if c.ofPlugin {
				labels = []string{c.decisions.name, c.decisions.typ, model, decision.String()}
			}
			out <- prometheus.MustNewConstMetric(c.description, prometheus.CounterValue, float64(n), labels...)
		}
	}
}

package fairness

import (
	"math"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxShown bounds the programs that have series of their own; the rest are served alike and not shown.
const maxShown = 1000

// waitsKept is of how many requests, about, the mean wait of a program is.
const waitsKept = 64

const metricsPrefix = "llm_d_epp_program_aware_"

var (
	jainsIndex = prometheus.NewDesc(metricsPrefix+"jains_fairness_index",
		"[ALPHA] Jain's fairness index over the mean waits of the programs; 1 is all alike.", nil, nil)
	meanWait = prometheus.NewDesc(metricsPrefix+"avg_wait_time_milliseconds",
		"[ALPHA] Mean wait of a program's latest requests.", []string{"program_id"}, nil)
	attainedService = prometheus.NewDesc(metricsPrefix+"attained_service_tokens",
		"[ALPHA] Service that a program has attained, as far as it has not faded.", []string{"program_id"}, nil)
)

// shown is what the metrics tell of one program, over all pools and bands.
type shown struct {
	label    string
	wait     float64 // mean, milliseconds
	requests int     // that the mean is of, at most waitsKept
	service  float64 // tokens, as they stood at clock
	clock    float64
	used     time.Time
}

// ledger is the programs with series. Its lock is taken under a pool's and held for a few steps, but for a scrape, which walks
// maxShown programs at most.
type ledger struct {
	mu       sync.Mutex
	born     time.Time
	turns    float64
	programs map[string]*shown
}

func newLedger() *ledger { return &ledger{born: time.Now(), programs: map[string]*shown{}} }

// of finds or makes the entry of a program, nil when there are too many. A full ledger takes in a new program when one is forgotten.
func (l *ledger) of(id string, now time.Time) *shown {
	entry := l.programs[id]
	if entry == nil {
		if len(l.programs) >= maxShown {
			return nil
		}
		id = strings.Clone(id) // what is kept for long must not keep the request that it came with
		entry = &shown{label: strings.ToValidUTF8(id, "?")}
		l.programs[id] = entry
	}
	entry.used = now
	return entry
}

// clock is how often service has halved by now.
func (l *ledger) clock(p *ProgramAware, now time.Time) float64 {
	if p.halfLife == 0 {
		return l.turns * p.halving
	}
	return float64(now.Sub(l.born)) / float64(p.halfLife)
}

func (l *ledger) waited(id string, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turns++
	if entry := l.of(id, time.Now()); entry != nil {
		entry.requests = min(entry.requests+1, waitsKept)
		entry.wait += (float64(took)/float64(time.Millisecond) - entry.wait) / float64(entry.requests)
	}
}

func (l *ledger) attained(p *ProgramAware, id string, tokens float64, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if entry := l.of(id, now); entry != nil {
		clock := l.clock(p, now)
		entry.service = max(entry.service*math.Exp2(entry.clock-clock)+tokens, 0)
		entry.clock = clock
	}
}

// Describe implements prometheus.Collector.
func (p *ProgramAware) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- jainsIndex
	descriptions <- meanWait
	descriptions <- attainedService
}

// Collect implements prometheus.Collector. Programs that are forgotten are dropped here, with their series.
func (p *ProgramAware) Collect(out chan<- prometheus.Metric) {
	for _, metric := range p.show(time.Now()) {
		out <- metric
	}
}

func (p *ProgramAware) show(now time.Time) []prometheus.Metric {
	l := p.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	clock := l.clock(p, now)
	var metrics []prometheus.Metric
	labels := map[string]bool{}
	sum, squares, n := 0.0, 0.0, 0.0
	for id, entry := range l.programs {
		if now.Sub(entry.used) > p.forgotten() {
			delete(l.programs, id)
			continue
		}
		sum, squares, n = sum+entry.wait, squares+entry.wait*entry.wait, n+1
		if labels[entry.label] { // two ids that are not valid UTF-8 may look alike
			continue
		}
		labels[entry.label] = true
		metrics = append(metrics,
			prometheus.MustNewConstMetric(meanWait, prometheus.GaugeValue, entry.wait, entry.label),
			prometheus.MustNewConstMetric(attainedService, prometheus.GaugeValue, entry.service*math.Exp2(entry.clock-clock), entry.label))
	}
	index := 1.0
	if squares > 0 {
		index = sum * sum / (n * squares)
	}
	return append(metrics, prometheus.MustNewConstMetric(jainsIndex, prometheus.GaugeValue, index))
}

// forgotten is how long a program is shown that is not served.
func (p *ProgramAware) forgotten() time.Duration {
	if p.ttl == 0 {
		return time.Hour
	}
	return p.ttl
}

package datalayer

import (
	"math"
	"slices"
	"strings"
	"time"
)

// Metrics is what was last learnt of a model server; immutable.
type Metrics struct {
	Waiting   int     // requests queued in the engine
	Running   int     // requests being worked on
	KVUsage   float64 // share of the KV cache in use, 0 to 1
	BlockSize int     // tokens per KV cache block; 0: not told
	NumBlocks int     // KV cache blocks; 0: not told
	LoRA      LoRA
	Known     Fields    // which of the numbers above the page had
	At        time.Time // of the scrape that the numbers are from; zero: there was none
	// Every is about how long after At the next scrape is to be: longer without traffic, see Options.
	Every time.Duration
	Err   error // why the latest scrape gave nothing; the numbers are then those of At

	staleAfter           time.Duration
	custom               []float64 // NaN: not on the page
	customNames          []string  // of the above; those of the reader
	rawRunning, rawToRun string    // the LoRA lists as the page had them, to see that they are still the same
}

// LoRA is the adapters of a server. The slices are not to be changed. An adapter with requests that run and others that wait
// is running: vLLM lists each adapter that has requests under both, and the two together are to be what takes up slots.
type LoRA struct {
	Running, Waiting []string
	Max              int // adapters that fit at once
}

// Fields is a set of numbers of a scrape.
type Fields uint8

// The numbers a scrape may have.
const (
	HasWaiting Fields = 1 << iota
	HasRunning
	HasKVUsage
	HasCacheInfo
	HasLoRA
)

// Has tells whether all of f are in the set.
func (s Fields) Has(f Fields) bool { return s&f == f }

// Stale tells whether the numbers are too old to be believed at a time. A scorer treats them as unknown then; that
// never takes the server out of its pool.
func (m *Metrics) Stale(now time.Time) bool { return m.At.IsZero() || now.Sub(m.At) > m.staleAfter }

// Custom is a number by its name, whatever its age.
func (m *Metrics) Custom(name string) (value float64, known bool) {
	for i, known := range m.customNames {
		if known == name {
			return m.custom[i], !math.IsNaN(m.custom[i])
		}
	}
	return 0, false
}

// failed is the same numbers after a scrape that gave nothing.
func (m *Metrics) failed(err error) *Metrics {
	next := *m
	next.Err = err
	return &next
}

// next makes the metrics that a page says. Nothing of them points into the page.
func (m *Metrics) next(p *page, now time.Time, staleAfter time.Duration) *Metrics {
	next := &Metrics{
		Waiting:    wholeNumber(p.sums[numWaiting]),
		Running:    wholeNumber(p.sums[numRunning]),
		BlockSize:  wholeNumber(p.most[numBlockSize]),
		NumBlocks:  wholeNumber(p.sums[numBlocks]),
		At:         now,
		staleAfter: staleAfter,
	}
	if n := p.seen[numKVUsage]; n > 0 {
		next.KVUsage = min(max(p.sums[numKVUsage]/float64(n), 0), 1)
	}
	next.Known = p.known()
	next.setCustom(p)
	if p.seen[numLoRA] > 0 {
		next.setLoRA(p, m)
	}
	return next
}

// setLoRA takes over the adapters of a page. Lists that stand there as before are the same slices as before.
func (m *Metrics) setLoRA(p *page, before *Metrics) {
	m.LoRA.Max = p.lora.limit
	if string(p.lora.running) == before.rawRunning && string(p.lora.waiting) == before.rawToRun {
		m.LoRA.Running, m.rawRunning = before.LoRA.Running, before.rawRunning
		m.LoRA.Waiting, m.rawToRun = before.LoRA.Waiting, before.rawToRun
		return
	}
	m.LoRA.Running, m.rawRunning = names(p.lora.running)
	m.LoRA.Waiting, m.rawToRun = names(p.lora.waiting)
	if len(m.LoRA.Running) == 0 || len(m.LoRA.Waiting) == 0 {
		return
	}
	running := make(map[string]bool, len(m.LoRA.Running))
	for _, name := range m.LoRA.Running {
		running[name] = true
	}
	m.LoRA.Waiting = slices.DeleteFunc(m.LoRA.Waiting, func(name string) bool { return running[name] })
}

// setCustom takes over the custom numbers of a page.
func (m *Metrics) setCustom(p *page) {
	if len(p.custom) == 0 {
		return
	}
	m.customNames, m.custom = p.customNames, make([]float64, len(p.custom))
	for i, found := range p.custom {
		m.custom[i] = math.NaN()
		if found.seen > 0 {
			m.custom[i] = found.sum
		}
	}
}

// names splits a comma list as it stands in a label.
func names(raw []byte) (list []string, text string) {
	text = string(raw)
	for name := range strings.SplitSeq(unescapeLabel(text), ",") {
		if name = strings.TrimSpace(name); name != "" {
			list = append(list, name)
		}
	}
	return list, text
}

var labelEscapes = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")

func unescapeLabel(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return labelEscapes.Replace(s)
}

// wholeNumber makes a count of a number from a page.
func wholeNumber(f float64) int {
	return int(min(max(f, 0), math.MaxInt32))
}

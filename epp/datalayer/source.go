package datalayer

import (
	"sync/atomic"
	"time"
)

// Types of the plugins under whose names sources, and what reads their answers, are counted.
const (
	metricsSourceType    = "metrics-data-source"
	metricsExtractorType = "core-metrics-extractor"
	modelsSourceType     = "models-data-source"
	modelsExtractorType  = "models-data-extractor"
)

// kind tells sources apart.
type kind uint8

const (
	kindMetrics kind = iota
	kindModels
	kinds = iota
)

// source is something that every endpoint is asked for, again and again. Its methods may be called from many goroutines.
type source interface {
	kind() kind
	// what names it in the log.
	what() string
	place() *place
	// equip puts into a wire what is needed to read the endpoint's answers.
	equip(w *wire, e *Endpoint)
	// interval is the time to the next question to an endpoint that answers.
	interval(l *live, now time.Time) time.Duration
	// pause is the time to the next question after a first failure.
	pause() time.Duration
	// read takes in the answer that is in the scratch's buffer.
	read(t *target, sc *scratch, now time.Time) error
	// failed notes that there is no answer, or none that can be read.
	failed(l *live, err error)
}

// counts are the errors of a source since the process began.
type counts struct{ poll, extract atomic.Uint64 }

// SourceStats are the errors of a source since the process began.
type SourceStats struct {
	Source, Extractor string // plugin types
	PollErrors        uint64 // servers that gave no answer, or too large a one
	ExtractErrors     uint64 // answers that could not be read
}

// Stats counts what went wrong, source by source; of all sources there are, used or not.
func (p *Pools) Stats() []SourceStats {
	stats := []SourceStats{
		kindMetrics: {Source: metricsSourceType, Extractor: metricsExtractorType},
		kindModels:  {Source: modelsSourceType, Extractor: modelsExtractorType},
	}
	for i := range stats {
		stats[i].PollErrors = p.counts[i].poll.Load()
		stats[i].ExtractErrors = p.counts[i].extract.Load()
	}
	return stats
}

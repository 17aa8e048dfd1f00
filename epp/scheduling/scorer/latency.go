package scorer

import (
	"fmt"
	"math"

	"github.com/switchyard/switchyard/epp/latency"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// LatencyType is the type of Latency.
const LatencyType = "latency-scorer"

// Latency prefers endpoints by the latency that predicted-latency-producer predicts for the request there. Of a request that
// names no limits the endpoint with the least latency gets most. Of one that names limits those endpoints get points that keep
// them: with the strategy least the more the less they have to spare, so that others stay free for requests that need them,
// with the strategy most the other way round. When nobody keeps them, those get points that are idle, if any, else those that
// miss the TPOT alone, else the TTFT alone, else both; the more the less they miss. Without predictions the score is made of
// the free KV cache, the queue and the share of the prompt that the endpoint holds.
type Latency struct {
	ttft, tpot        float64 // weights, their sum is 1
	most              bool
	kv, queue, prefix float64 // weights without predictions, their sum is 1
	producer          string
}

// NewLatency reads `ttftWeight` (0.8) and `tpotWeight` (0.2), `headroomSelectionStrategy` (least, or most), and
// `compositeKVWeight`, `compositeQueueWeight` and `compositePrefixWeight` (1 each), which count without predictions. Weights are not
// below 0; when those of one kind are all 0 the first counts alone. `latencyPredictionInfoProducerName` and
// `prefixMatchInfoProducerName` may name the producers there are.
func NewLatency(parameters []byte) (*Latency, error) {
	given := struct {
		TTFTWeight      float64 `json:"ttftWeight"`
		TPOTWeight      float64 `json:"tpotWeight"`
		Strategy        string  `json:"headroomSelectionStrategy"`
		KVWeight        float64 `json:"compositeKVWeight"`
		QueueWeight     float64 `json:"compositeQueueWeight"`
		PrefixWeight    float64 `json:"compositePrefixWeight"`
		LatencyProducer string  `json:"latencyPredictionInfoProducerName"`
		PrefixProducer  string  `json:"prefixMatchInfoProducerName"`
	}{TTFTWeight: 0.8, TPOTWeight: 0.2, Strategy: "least", KVWeight: 1, QueueWeight: 1, PrefixWeight: 1}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	for _, field := range []struct {
		name  string
		value float64
	}{
		{"ttftWeight", given.TTFTWeight}, {"tpotWeight", given.TPOTWeight}, {"compositeKVWeight", given.KVWeight},
		{"compositeQueueWeight", given.QueueWeight}, {"compositePrefixWeight", given.PrefixWeight},
	} {
		if !(field.value >= 0) || math.IsInf(field.value, 0) {
			return nil, fmt.Errorf("parameters: %s: %g is below 0", field.name, field.value)
		}
	}
	if given.Strategy != "least" && given.Strategy != "most" {
		return nil, fmt.Errorf("parameters: headroomSelectionStrategy: %q must be least or most", given.Strategy)
	}
	if err := scheduling.OneProducer("latencyPredictionInfoProducerName", given.LatencyProducer, latency.Producer); err != nil {
		return nil, err
	}
	if err := scheduling.OnePrefixProducer("prefixMatchInfoProducerName", given.PrefixProducer); err != nil {
		return nil, err
	}
	s := &Latency{ttft: given.TTFTWeight, tpot: given.TPOTWeight, most: given.Strategy == "most",
		kv: given.KVWeight, queue: given.QueueWeight, prefix: given.PrefixWeight, producer: given.PrefixProducer}
	share(&s.ttft, &s.tpot)
	share(&s.kv, &s.queue, &s.prefix)
	return s, nil
}

// share makes the sum of weights 1. When all are 0 the first is 1.
func share(weights ...*float64) {
	sum := 0.0
	for _, weight := range weights {
		sum += *weight
	}
	if sum == 0 {
		*weights[0], sum = 1, 1
	}
	for _, weight := range weights {
		*weight /= sum
	}
}

// Consumes lists the producers that the plugin reads from.
func (*Latency) Consumes() []string { return []string{latency.Producer} }

// Score implements scheduling.Scorer.
func (s *Latency) Score(c *scheduling.Cycle, in []int, out []float32) {
	forecasts := latency.Forecasts(c)
	if forecasts == nil {
		s.withoutForecasts(c, in, out)
		return
	}
	best := worst
	for _, i := range in {
		best = min(best, tierOf(c, i, &forecasts[i]))
	}
	low, high := latencyRange{}, latencyRange{}
	first := true
	for _, i := range in {
		if tierOf(c, i, &forecasts[i]) != best {
			continue
		}
		now := spread(&forecasts[i])
		if first {
			low, high, first = now, now, false
		}
		low, high = latencyRange{min(low.ttft, now.ttft), min(low.tpot, now.tpot)}, latencyRange{max(high.ttft, now.ttft), max(high.tpot, now.tpot)}
	}
	for k, i := range in {
		out[k] = 0
		if tierOf(c, i, &forecasts[i]) == best {
			out[k] = s.within(spread(&forecasts[i]), low, high, best == keepsLimits && s.most, &forecasts[i])
		}
	}
}

// tier is how well an endpoint keeps the limits; lower is better.
type tier int

const (
	keepsLimits tier = iota // or there are none
	idleMisses
	missesTPOT
	missesTTFT
	worst // misses both
)

func tierOf(c *scheduling.Cycle, candidate int, f *latency.Forecast) tier {
	late, slow := f.MissesTTFT(), f.MissesTPOT()
	switch {
	case !late && !slow:
		return keepsLimits
	case c.Loads[candidate].Requests == 0:
		return idleMisses
	case !late:
		return missesTPOT
	case !slow:
		return missesTTFT
	}
	return worst
}

// latencyRange is the distance from the limits, in milliseconds; without a limit, from no time at all.
type latencyRange struct{ ttft, tpot float64 }

func spread(f *latency.Forecast) latencyRange {
	return latencyRange{math.Abs(f.TTFTHeadroom()), math.Abs(f.TPOTHeadroom())}
}

// leastScore keeps those of the best tier above the others, which have 0.
const leastScore = 0.01

// within places a distance between the least and the greatest of its tier. A kind of latency in which all are equal does not
// count. Far is better where there is a limit and the strategy says so.
func (s *Latency) within(d, low, high latencyRange, far bool, f *latency.Forecast) float32 {
	ttft, tpot := s.ttft, s.tpot
	switch noTTFT, noTPOT := high.ttft-low.ttft <= 0, high.tpot-low.tpot <= 0; {
	case noTTFT && noTPOT:
		return 1
	case noTTFT:
		ttft, tpot = 0, 1
	case noTPOT:
		ttft, tpot = 1, 0
	}
	near := ttft*place(d.ttft, low.ttft, high.ttft, far && f.TTFTLimit > 0) + tpot*place(d.tpot, low.tpot, high.tpot, far && f.TPOTLimit > 0)
	return leastScore + (1-leastScore)*float32(near)
}

// place is 1 at the better end and 0 at the other.
func place(value, low, high float64, far bool) float64 {
	if high <= low {
		return 0
	}
	if far {
		return (value - low) / (high - low)
	}
	return (high - value) / (high - low)
}

// withoutForecasts scores by what is known of the endpoints otherwise.
func (s *Latency) withoutForecasts(c *scheduling.Cycle, in []int, out []float32) {
	longest := float32(0)
	for _, i := range in {
		longest = max(longest, c.Loads[i].Queue())
	}
	match := c.Prefix(s.producer)
	for k, i := range in {
		queue := float32(1)
		if longest > 0 {
			queue = 1 - c.Loads[i].Queue()/longest
		}
		out[k] = float32(s.kv)*(1-c.Loads[i].KVUsage) + float32(s.queue)*queue + float32(s.prefix)*match.Share(i)
	}
}

package producer

import (
	"time"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/latency"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// measured is a request under way: what was known when it was placed, to be learnt from with what it takes.
type measured struct {
	p         *PredictedLatency
	endpoint  *datalayer.Endpoint
	forecast  latency.Forecast // zero when there was none
	ttft      latency.Features // of the endpoint that works on the prompt
	tpot      latency.Features // of the one that generates the answer
	known     bool             // the features were measured, not guessed
	series    *latency.Series
	objective float64 // TPOT asked for, milliseconds
	first     time.Time
}

// Follow implements scheduling.Follower.
func (p *PredictedLatency) Follow(c *scheduling.Cycle, chosen []int) scheduling.Followed {
	if len(chosen) == 0 {
		return nil
	}
	decode := chosen[0]
	prefill := decode
	for _, stage := range c.Stages() {
		if stage.Name == scheduling.StagePrefill {
			prefill = stage.Candidate
		}
	}
	m := &measured{
		p: p, endpoint: c.Candidates[decode], ttft: p.features(c, prefill), tpot: p.features(c, decode),
		known: measurable(&c.Loads[decode]) && measurable(&c.Loads[prefill]), series: p.metrics.Of(c.Request.Model, c.TargetModel),
		objective: milliseconds(c.TPOT),
	}
	m.ttft.Generated = 0
	m.forecast.TTFTLimit, m.forecast.TPOTLimit = milliseconds(c.TTFT), m.objective
	if forecasts := latency.Forecasts(c); forecasts != nil {
		m.forecast.TTFT, m.forecast.TPOT = forecasts[prefill].TTFT, forecasts[decode].TPOT
	}
	if m.objective > 0 {
		p.objectives.add(m.endpoint.Address, m.objective)
	}
	return m
}

// measurable tells whether a load was scraped: nothing is to be learnt from one that is an estimate.
func measurable(load *scheduling.Load) bool {
	return load.Known.Has(datalayer.HasWaiting) && load.Known.Has(datalayer.HasRunning) && load.Known.Has(datalayer.HasKVUsage)
}

// Answering implements scheduling.Followed.
func (m *measured) Answering(at time.Time) { m.first = at }

// Ended implements scheduling.Followed.
func (m *measured) Ended(outcome scheduling.Outcome) {
	if m.objective > 0 {
		m.p.objectives.remove(m.endpoint.Address, m.objective)
	}
	took := outcome.At.Sub(outcome.Began)
	if outcome.Failed || took <= 0 || took > m.p.longest || outcome.Endpoint != nil && outcome.Endpoint.Address != m.endpoint.Address {
		return
	}
	ttft, tpot := m.times(outcome)
	if ttft > 0 {
		m.series.TTFT(ttft, m.forecast.TTFT, m.forecast.TTFTLimit)
		m.learn(latency.Sample{Features: m.ttft, TTFT: ttft, At: outcome.At})
	}
	if tpot > 0 {
		m.series.TPOT(tpot, m.forecast.TPOT, m.forecast.TPOTLimit)
		m.learn(latency.Sample{Features: m.tpot, TPOT: tpot, At: outcome.At})
	}
}

// times are what the request took in milliseconds, 0 where that is not known.
func (m *measured) times(outcome scheduling.Outcome) (ttft, tpot float64) {
	if !m.p.streaming {
		return milliseconds(outcome.At.Sub(outcome.Began)), 0
	}
	if !outcome.Streamed || m.first.IsZero() {
		return 0, 0
	}
	ttft = milliseconds(m.first.Sub(outcome.Began))
	if outcome.Output > 1 {
		tpot = milliseconds(outcome.At.Sub(m.first)) / float64(outcome.Output-1)
	}
	return ttft, tpot
}

func (m *measured) learn(sample latency.Sample) {
	if m.known {
		m.p.client.Learn(sample)
	}
}

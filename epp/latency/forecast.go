package latency

import (
	"context"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// Producer is the type of the plugin that makes forecasts, by which other plugins may name it.
const Producer = "predicted-latency-producer"

// Forecast is how a request would fare at one candidate, in milliseconds.
type Forecast struct {
	Prediction
	// TTFTLimit and TPOTLimit are what the request may take; 0: nobody asked for less.
	TTFTLimit, TPOTLimit float64
}

// TTFTHeadroom is what is left of the limit; without a limit the less it is the later the first token comes.
func (f *Forecast) TTFTHeadroom() float64 { return f.TTFTLimit - f.TTFT }

// TPOTHeadroom is TTFTHeadroom for the time per further token.
func (f *Forecast) TPOTHeadroom() float64 { return f.TPOTLimit - f.TPOT }

// MissesTTFT and MissesTPOT tell whether there is a limit that would not be kept.
func (f *Forecast) MissesTTFT() bool { return f.TTFTLimit > 0 && f.TTFT > f.TTFTLimit }

// MissesTPOT is MissesTTFT for the time per further token.
func (f *Forecast) MissesTPOT() bool { return f.TPOTLimit > 0 && f.TPOT > f.TPOTLimit }

// Limited tells whether there is a limit at all.
func (f *Forecast) Limited() bool { return f.TTFTLimit > 0 || f.TPOTLimit > 0 }

// Meets tells whether there is a limit and none would be missed.
func (f *Forecast) Meets() bool { return f.Limited() && !f.MissesTTFT() && !f.MissesTPOT() }

type forecastsKey struct{}

// Attach has plugins that run later find forecasts, one for each candidate of the cycle.
func Attach(c *scheduling.Cycle, forecasts []Forecast) {
	c.Context = context.WithValue(c.Context, forecastsKey{}, forecasts)
}

// Forecasts are those for the candidates of the cycle; nil: nobody made any, or the predictor did not answer. They belong to
// the cycle.
func Forecasts(c *scheduling.Cycle) []Forecast {
	forecasts, _ := c.Context.Value(forecastsKey{}).([]Forecast)
	if len(forecasts) != len(c.Candidates) {
		return nil
	}
	return forecasts
}

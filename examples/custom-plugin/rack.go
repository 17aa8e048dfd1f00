package main

import "github.com/switchyard/switchyard/epp/scheduling"

// rack prefers endpoints whose label has the value of a header.
type rack struct {
	Header string `json:"header"`
	Label  string `json:"label"`
}

func newRack(parameters []byte) (*rack, error) {
	r := &rack{Header: "x-rack", Label: "rack"}
	return r, scheduling.DecodeParameters(parameters, r)
}

// RequestHeaders implements scheduling.HeaderReader: without it the header would not reach the cycle.
func (r *rack) RequestHeaders() []string { return []string{r.Header} }

// Score implements scheduling.Scorer.
func (r *rack) Score(c *scheduling.Cycle, in []int, out []float32) {
	wanted := c.Headers.Get(r.Header)
	for k, i := range in {
		out[k] = 0
		if wanted != "" && c.Candidates[i].Labels[r.Label] == wanted {
			out[k] = 1
		}
	}
}

package scorer

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/response"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// HeaderLabelAffinityType is the type of HeaderLabelAffinity.
const HeaderLabelAffinityType = "header-label-affinity-scorer"

// HeaderLabelAffinity prefers endpoints that have a label whose value is that of a header: they score 1, the others, and all
// when the request does not have the header, 0. The answer has the header with the label of the endpoint that was chosen, so
// that a caller can send it along with its next request.
type HeaderLabelAffinity struct {
	header, label string
	stamp         bool
}

// NewHeaderLabelAffinity reads `headerName` and `labelKey`, both required, and `stampResponseHeader` (true).
func NewHeaderLabelAffinity(parameters []byte) (*HeaderLabelAffinity, error) {
	given := struct {
		HeaderName          string `json:"headerName"`
		LabelKey            string `json:"labelKey"`
		StampResponseHeader bool   `json:"stampResponseHeader"`
	}{StampResponseHeader: true}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	header, err := scheduling.HeaderName("headerName", given.HeaderName)
	if err != nil {
		return nil, err
	}
	if given.LabelKey == "" {
		return nil, fmt.Errorf("parameters: labelKey: missing; give the label to compare with the header")
	}
	return &HeaderLabelAffinity{header: header, label: given.LabelKey, stamp: given.StampResponseHeader}, nil
}

// RequestHeaders implements scheduling.HeaderReader.
func (s *HeaderLabelAffinity) RequestHeaders() []string { return []string{s.header} }

// Score implements scheduling.Scorer.
func (s *HeaderLabelAffinity) Score(c *scheduling.Cycle, in []int, out []float32) {
	clear(out)
	wanted := c.Headers.Get(s.header)
	if wanted == "" {
		return
	}
	for k, i := range in {
		if c.Candidates[i].Labels[s.label] == wanted {
			out[k] = 1
		}
	}
}

// AnswerHeaders implements response.Plugin.
func (s *HeaderLabelAffinity) AnswerHeaders(answer *response.Answer) {
	if !s.stamp || answer.Endpoint == nil {
		return
	}
	if value := answer.Endpoint.Labels[s.label]; value != "" {
		answer.SetHeader(s.header, value)
	}
}

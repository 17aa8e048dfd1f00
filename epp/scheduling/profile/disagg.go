package profile

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// DisaggType is the type of Disagg.
const DisaggType = "disagg-profile-handler"

// Headers by which the server that decodes learns who does the other stages.
const (
	prefillHeader = "x-prefiller-host-port"
	encodeHeader  = "x-encoder-hosts-ports"
)

// Disagg splits a request over servers: a profile chooses who decodes, and the request goes there; where a decider says so,
// another chooses who works on the prompt before, and one more who encodes its images, video and audio. The server that
// decodes learns of them by the headers `x-prefiller-host-port` and `x-encoder-hosts-ports`; what a client sent under these
// names is taken away. A stage for which there is no decider, or no endpoint is left, is done by the server that does the
// next one. So is one that falls to that very server.
type Disagg struct {
	decode, prefill, encode       *Profile // nil: this stage never goes elsewhere
	prefillDecider, encodeDecider scheduling.Decider
	prefillFirst                  bool
	primaryPort                   string
	decisions                     *Decisions
}

// NewDisagg reads `profiles.decode` (decode), `profiles.prefill` (prefill) and `profiles.encode` (encode), the names of
// scheduling profiles; `deciders.prefill` and `deciders.encode`, the names of deciders, without which a stage never goes
// elsewhere; and `stageOrder`, either decode-first or prefill-first (decode-first). With prefill-first there is no decider
// for the prefill: it goes elsewhere whenever its profile exists.
func NewDisagg(parameters []byte, setting Setting) (*Disagg, error) {
	given := struct {
		Profiles   stageNames `json:"profiles"`
		Deciders   stageNames `json:"deciders"`
		StageOrder string     `json:"stageOrder"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.Deciders.Decode != "" {
		return nil, fmt.Errorf("parameters: deciders.decode: every request is decoded; remove it")
	}
	h := &Disagg{}
	var err error
	if h.prefillFirst, err = readStageOrder(given.StageOrder); err != nil {
		return nil, err
	}
	if h.prefillFirst && given.Deciders.Prefill != "" {
		return nil, fmt.Errorf("parameters: deciders.prefill: with stageOrder prefill-first the prefill always goes elsewhere; " +
			"remove the decider, or use decode-first")
	}
	field := func(stage string) string { return "profiles." + stage }
	if err := setting.fill(h, DisaggType, given.Profiles, given.Deciders, field); err != nil {
		return nil, err
	}
	if h.prefillFirst && (given.Profiles.Prefill != "" || setting.find(scheduling.StagePrefill) != nil) {
		h.prefill, err = setting.profile(field(scheduling.StagePrefill), given.Profiles.Prefill, scheduling.StagePrefill)
	}
	return h, err
}

// Collectors implements scheduling.Measured.
func (h *Disagg) Collectors() []prometheus.Collector { return h.decisions.Collectors() }

// Decisions are the counts of what was decided.
func (h *Disagg) Decisions() *Decisions { return h.decisions }

// Schedule implements Handler.
func (h *Disagg) Schedule(c *scheduling.Cycle) ([]int, error) {
	var prefill, encode []int
	if h.prefillFirst {
		prefill = h.stage(c, h.prefill, nil, -1)
		encode = h.encoders(c, -1)
	}
	chosen, err := h.decode.Run(c)
	if err != nil {
		return nil, err
	}
	if len(chosen) == 0 {
		return nil, scheduling.ErrFiltered
	}
	decode := c.Keep(chosen)
	if !h.prefillFirst {
		encode = h.encoders(c, decode[0])
		prefill = h.stage(c, h.prefill, h.prefillDecider, decode[0])
	}
	h.tell(c, decode[0], prefill, encode)
	if h.primaryPort != "" {
		toPrimaryPort(c, decode[0], h.primaryPort)
	}
	return decode, nil
}

// encoders chooses who encodes the media of a request that brings any.
func (h *Disagg) encoders(c *scheduling.Cycle, decode int) []int {
	if !c.Request.Multimodal {
		return nil
	}
	return h.stage(c, h.encode, h.encodeDecider, decode)
}

// stage chooses who does a stage, nobody when it is not to go elsewhere. A nil decider says yes.
func (h *Disagg) stage(c *scheduling.Cycle, p *Profile, decider scheduling.Decider, decode int) []int {
	if p == nil || (decider != nil && !decider.Disaggregate(c, decode)) {
		return nil
	}
	// The scores that count are those of who decodes.
	wanted := c.KeepScores
	c.KeepScores = false
	chosen, err := p.Run(c)
	c.KeepScores = wanted
	if err != nil { // nobody is left: the request is served all the same
		return nil
	}
	return c.Keep(chosen)
}

// tell notes who does what in the cycle, for the server that decodes and for the accounts.
func (h *Disagg) tell(c *scheduling.Cycle, decode int, prefill, encode []int) {
	decision, next := DecodeOnly, decode
	prefiller := ""
	if len(prefill) > 0 && prefill[0] != decode {
		next = prefill[0]
		prefiller = c.Candidates[next].Address
		c.AddStage(scheduling.StagePrefill, next)
		decision = PrefillDecode
	}
	c.SetRequestHeader(prefillHeader, prefiller)
	encoders := ""
	for _, candidate := range encode {
		if candidate == next {
			continue
		}
		c.AddStage(scheduling.StageEncode, candidate)
		if encoders == "" {
			encoders = c.Candidates[candidate].Address
		} else {
			encoders = strings.Join([]string{encoders, c.Candidates[candidate].Address}, ",")
		}
	}
	c.SetRequestHeader(encodeHeader, encoders)
	if encoders != "" {
		decision += EncodeDecode
	}
	h.decisions.Inc(c.TargetModel, decision)
}

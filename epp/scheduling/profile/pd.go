package profile

import (
	"encoding/json"
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// PDType is the type of PD.
const PDType = "pd-profile-handler"

// PDDecider is the name of the decider of PD when its parameters give none.
const PDDecider = "prefix-based-pd-decider"

// PD is an older form of disagg-profile-handler, which knows no encoding. It sets the headers itself; no other plugin has to.
type PD struct{ *Disagg }

// NewPD reads `decodeProfile` (decode) and `prefillProfile` (prefill), the names of scheduling profiles; `deciderPluginName`
// (prefix-based-pd-decider), the name of a decider; and `primaryPort` (0), as data-parallel-profile-handler does; 0: the
// request goes to the port of the endpoint chosen. `prefixMatchInfoProducerName`, `prefixPluginType` and
// `prefixPluginName` have no effect: the decider knows what it reads. `threshold` and `hashBlockSize`, which are older still, are refused:
// the decider has them.
func NewPD(parameters []byte, setting Setting) (PD, error) {
	given := struct {
		DecodeProfile    string          `json:"decodeProfile"`
		PrefillProfile   string          `json:"prefillProfile"`
		Decider          string          `json:"deciderPluginName"`
		PrimaryPort      int             `json:"primaryPort"`
		Producer         string          `json:"prefixMatchInfoProducerName"`
		PrefixPluginType string          `json:"prefixPluginType"`
		PrefixPluginName string          `json:"prefixPluginName"`
		Threshold        json.RawMessage `json:"threshold"`
		HashBlockSize    json.RawMessage `json:"hashBlockSize"`
	}{Decider: PDDecider}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return PD{}, err
	}
	if given.Threshold != nil {
		return PD{}, fmt.Errorf("parameters: threshold: is gone; declare a %s with nonCachedTokens, in tokens, and name it in deciderPluginName", PDDecider)
	}
	if given.HashBlockSize != nil {
		return PD{}, fmt.Errorf("parameters: hashBlockSize: is gone; remove it, the block size is that of %s", scheduling.ApproximatePrefixProducer)
	}
	if err := scheduling.OnePrefixProducer("prefixMatchInfoProducerName", given.Producer); err != nil {
		return PD{}, err
	}
	if given.Decider == "" {
		return PD{}, fmt.Errorf("parameters: deciderPluginName: empty; name a decider, or leave it out for %s", PDDecider)
	}
	h := &Disagg{}
	if given.PrimaryPort != 0 {
		var err error
		if h.primaryPort, err = readPort("primaryPort", given.PrimaryPort); err != nil {
			return PD{}, err
		}
	}
	profiles, deciders := stageNames{Decode: given.DecodeProfile, Prefill: given.PrefillProfile}, stageNames{Prefill: given.Decider}
	return PD{h}, setting.fill(h, PDType, profiles, deciders, func(stage string) string { return stage + "Profile" })
}

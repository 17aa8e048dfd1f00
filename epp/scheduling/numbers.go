package scheduling

import (
	"slices"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// Names of the numbers that every endpoint has.
const (
	NumberWaiting  = "waiting-queue"
	NumberRunning  = "running-requests"
	NumberKVUsage  = "kv-cache-utilization"
	NumberRequests = "active-requests"
	NumberTokens   = "active-tokens"
)

// Numbers lists the names that Number knows by itself.
func Numbers() []string {
	return []string{NumberRequests, NumberTokens, NumberRunning, NumberWaiting, NumberKVUsage}
}

// IsNumber tells whether every endpoint has a number of this name.
func IsNumber(name string) bool { return slices.Contains(Numbers(), name) }

// Number is a number of a candidate by its name, one of Numbers or one that Custom knows. It is known when it was scraped
// and is fresh, or is of this process; the number of one that is not known is an estimate (Load.Known) or zero.
func (c *Cycle) Number(candidate int, name string) (value float64, known bool) {
	load := &c.Loads[candidate]
	switch name {
	case NumberWaiting:
		return float64(load.Queue()), load.Known.Has(datalayer.HasWaiting)
	case NumberRunning:
		return float64(load.Active()), load.Known.Has(datalayer.HasRunning)
	case NumberKVUsage:
		return float64(load.KVUsage), load.Known.Has(datalayer.HasKVUsage)
	case NumberRequests:
		return float64(load.Requests), true
	case NumberTokens:
		return float64(load.Tokens), true
	}
	if c.Custom == nil {
		return 0, false
	}
	return c.Custom(c.Candidates[candidate], name)
}

// bytesPerToken is the estimate by which prompt bytes become tokens.
const bytesPerToken = 4

// PromptTokens is the length of the prompt: as the model reads it where that is known, else estimated. Of a body that was cut short
// its announced size is the bound, unless pictures may be what was cut.
func (c *Cycle) PromptTokens() int {
	if c.Tokens != nil {
		return len(c.Tokens.IDs)
	}
	bytes := c.Request.PromptBytes
	if c.Request.Truncated && !c.Request.Multimodal {
		bytes = max(bytes, c.BodyBytes)
	}
	return bytes / bytesPerToken
}

// PrefixShare is the share of the prompt that a candidate holds, 0 to 1.
func (c *Cycle) PrefixShare(candidate int) float32 {
	if len(c.Keys) == 0 {
		return 0
	}
	return float32(c.PrefixBlocks[candidate]) / float32(len(c.Keys))
}

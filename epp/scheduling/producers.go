package scheduling

// Names under which configurations know what every cycle has without a plugin that makes it.
const (
	// ApproximatePrefixProducer is the source of prefix matches (Cycle.PrefixBlocks) where there is no better one.
	ApproximatePrefixProducer = "approx-prefix-cache-producer"
	// PrecisePrefixProducer is the one that model servers tell themselves; see Cycle.ReplacePrefix.
	PrecisePrefixProducer = "precise-prefix-cache-producer"
	// InFlightLoadProducer is the counters of requests and tokens in flight (Load.Requests, Load.Tokens).
	InFlightLoadProducer = "inflight-load-producer"
)

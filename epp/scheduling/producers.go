package scheduling

// Names under which configurations know what every cycle has without a plugin that makes it.
const (
	// ApproximatePrefixProducer is the only source of prefix matches so far (Cycle.PrefixBlocks).
	ApproximatePrefixProducer = "approx-prefix-cache-producer"
	// InFlightLoadProducer is the counters of requests and tokens in flight (Load.Requests, Load.Tokens).
	InFlightLoadProducer = "inflight-load-producer"
)

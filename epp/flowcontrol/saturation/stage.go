package saturation

import "github.com/switchyard/switchyard/epp/flowcontrol"

// stages tells which stages an endpoint of a role works in. One without a role decodes, and does all there is to do.
func stages(role string) (prefill, decode bool) {
	switch role {
	case "prefill", "encode-prefill":
		return true, false
	case "prefill-decode", "both", "encode-prefill-decode":
		return true, true
	case "encode":
		return false, false
	}
	return false, true
}

// higher sets the level of a reading from those of its stages. A pool in which nobody decodes or prefills is full.
func higher(reading flowcontrol.Reading) flowcontrol.Reading {
	if reading.Prefill.Endpoints == 0 && reading.Decode.Endpoints == 0 {
		reading.Level = 1
		return reading
	}
	reading.Level = max(reading.Prefill.Level, reading.Decode.Level)
	return reading
}

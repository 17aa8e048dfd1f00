package latency

import (
	"strconv"
	"time"
)

// Features are what a prediction is made from: one request at one endpoint, at the moment of the decision.
type Features struct {
	KVUsage         float64 // share of the KV cache in use, 0 to 1
	InputTokens     int
	Waiting         int // requests
	Running         int // requests
	Generated       int // tokens
	PrefixShare     float64
	EncoderParts    int // images, sounds and videos of the prompt
	EncoderHeld     int // those of them that the endpoint is believed to have encoded before
	Role            string
	PrefillInFlight int64 // prompt tokens in flight at the endpoint
	DecodeInFlight  int64
}

// appendMembers writes the features as members of a JSON object, without its braces.
func (f *Features) appendMembers(b []byte) []byte {
	b = append(b, `"kv_cache_percentage":`...)
	b = appendFloat(b, min(max(f.KVUsage, 0), 1))
	b = append(b, `,"input_token_length":`...)
	b = strconv.AppendInt(b, int64(max(f.InputTokens, 0)), 10)
	b = append(b, `,"num_request_waiting":`...)
	b = strconv.AppendInt(b, int64(max(f.Waiting, 0)), 10)
	b = append(b, `,"num_request_running":`...)
	b = strconv.AppendInt(b, int64(max(f.Running, 0)), 10)
	b = append(b, `,"num_tokens_generated":`...)
	b = strconv.AppendInt(b, int64(max(f.Generated, 0)), 10)
	b = append(b, `,"prefix_cache_score":`...)
	b = appendFloat(b, min(max(f.PrefixShare, 0), 1))
	b = append(b, `,"encoder_input_size":`...)
	b = strconv.AppendInt(b, int64(max(f.EncoderParts, 0)), 10)
	b = append(b, `,"encoder_matched_size":`...)
	b = strconv.AppendInt(b, int64(min(max(f.EncoderHeld, 0), max(f.EncoderParts, 0))), 10)
	if f.Role != "" {
		b = append(b, `,"pod_type":`...)
		b = appendText(b, f.Role)
	}
	b = append(b, `,"prefill_tokens_in_flight":`...)
	b = strconv.AppendInt(b, max(f.PrefillInFlight, 0), 10)
	b = append(b, `,"decode_tokens_in_flight":`...)
	return strconv.AppendInt(b, max(f.DecodeInFlight, 0), 10)
}

// Sample is how long a request took.
type Sample struct {
	Features
	// TTFT and TPOT are the time to the first token and per further one, in milliseconds; 0: not measured.
	TTFT, TPOT float64
	At         time.Time
}

// appendObject writes the sample as a JSON object.
func (s *Sample) appendObject(b []byte) []byte {
	b = append(b, '{')
	b = s.appendMembers(b)
	b = append(b, `,"actual_ttft_ms":`...)
	b = appendFloat(b, s.TTFT)
	b = append(b, `,"actual_tpot_ms":`...)
	b = appendFloat(b, s.TPOT)
	b = append(b, `,"timestamp":"`...)
	b = s.At.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"', '}')
}

// appendFloat writes a number that is none as 0.
func appendFloat(b []byte, f float64) []byte {
	if f != f {
		f = 0
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}

// appendText writes the value of a label, which has neither quotes nor backslashes, as a JSON string.
func appendText(b []byte, text string) []byte {
	b = append(b, '"')
	for i := range len(text) {
		if c := text[i]; c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			b = append(b, c)
		}
	}
	return append(b, '"')
}

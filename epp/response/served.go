package response

import "github.com/switchyard/switchyard/epp/scheduling"

// ServedVerifierType is the type of ServedVerifier, which takes no parameters.
const ServedVerifierType = "destination-endpoint-served-verifier"

// ServedResultHeader tells a client of a conformance test which endpoint the proxy says has answered.
const ServedResultHeader = "x-conformance-test-served-endpoint"

// notServed is the header's value when the proxy did not say; tests look for its beginning.
const notServed = "fail: the proxy did not report the endpoint served in metadata envoy.lb, key x-gateway-destination-endpoint-served"

// ServedVerifier sets ServedResultHeader. It is for tests: it tells clients addresses of endpoints.
type ServedVerifier struct{}

// NewServedVerifier takes no parameters.
func NewServedVerifier(parameters []byte) (*ServedVerifier, error) {
	return &ServedVerifier{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

// AnswerHeaders implements Plugin.
func (*ServedVerifier) AnswerHeaders(answer *Answer) {
	result := answer.Served
	if result == "" {
		result = notServed
	}
	answer.SetHeader(ServedResultHeader, result)
}

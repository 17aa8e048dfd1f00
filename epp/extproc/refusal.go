package extproc

import (
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

// droppedReasonHeader tells a client why its request was not served.
const droppedReasonHeader = "x-llm-d-request-dropped-reason"

// refusal is an answer given in place of a model server.
type refusal struct {
	code   string // name in the body and in metrics
	status typev3.StatusCode
	// message is what the client reads.
	message string
	// reason goes into droppedReasonHeader; empty: no header.
	reason string
}

func (r *refusal) Error() string { return "inference error: " + r.code + " - " + r.message }

func badRequest(message string) *refusal {
	return &refusal{code: "BadRequest", status: typev3.StatusCode_BadRequest, message: message}
}

func noEndpoints(message string) *refusal {
	return &refusal{code: "ServiceUnavailable", status: typev3.StatusCode_ServiceUnavailable, message: message,
		reason: "rejected-no-endpoints"}
}

func saturated(message string) *refusal {
	return &refusal{code: "ResourceExhausted", status: typev3.StatusCode_TooManyRequests, message: message,
		reason: "rejected-saturated"}
}

func bodyTooLarge(limit int) *refusal {
	return &refusal{code: "PayloadTooLarge", status: typev3.StatusCode_PayloadTooLarge,
		message: "request body is larger than " + strconv.Itoa(limit) + " bytes"}
}

// response is the refusal as the proxy takes it.
func (r *refusal) response() *extprocv3.ProcessingResponse {
	immediate := &extprocv3.ImmediateResponse{
		Status: &typev3.HttpStatus{Code: r.status},
		Body:   []byte(r.Error()),
	}
	if r.reason != "" {
		immediate.Headers = &extprocv3.HeaderMutation{SetHeaders: []*corev3.HeaderValueOption{setHeader(droppedReasonHeader, r.reason)}}
	}
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ImmediateResponse{ImmediateResponse: immediate}}
}

// setHeader replaces whatever stands in the header.
func setHeader(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, RawValue: []byte(value)},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

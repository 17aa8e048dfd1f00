package extproc

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/switchyard/switchyard/epp/director"
)

// droppedReasonHeader tells a client why its request was not served.
const droppedReasonHeader = "x-llm-d-request-dropped-reason"

// refusalAnswer is a refusal as the proxy takes it.
func refusalAnswer(no *director.Refusal) *extprocv3.ProcessingResponse {
	immediate := &extprocv3.ImmediateResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode(no.Status)},
		Body:   []byte(no.Error()),
	}
	if no.Reason != "" {
		immediate.Headers = &extprocv3.HeaderMutation{SetHeaders: []*corev3.HeaderValueOption{setHeader(droppedReasonHeader, no.Reason)}}
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

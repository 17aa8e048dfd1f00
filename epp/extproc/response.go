package extproc

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/switchyard/switchyard/epp/response"
)

// seenMarker is set on every answer of the standard protocol: it shows that the picker has seen it.
var seenMarker = response.Header{Name: "x-went-into-resp-headers", Value: "true"}

// answerHeaders answers a message of response headers: with the headers given and those that plugins set.
func (s *Service) answerHeaders(x *exchange, f *frame, given ...response.Header) *extprocv3.ProcessingResponse {
	answer := &response.Answer{Endpoint: x.endpoint, Served: servedEndpoint(f)}
	for _, header := range given {
		answer.SetHeader(header.Name, header.Value)
	}
	for _, plugin := range s.options.Config.Responses {
		plugin.AnswerHeaders(answer)
	}
	var set []*corev3.HeaderValueOption
	for _, header := range answer.Headers() {
		set = append(set, setHeader(header.Name, header.Value))
	}
	return &extprocv3.ProcessingResponse{
		Response: &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: headersAnswer(&extprocv3.CommonResponse{
			HeaderMutation: &extprocv3.HeaderMutation{SetHeaders: set},
		})},
	}
}

package extproc

import (
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/switchyard/switchyard/epp/director"
	"github.com/switchyard/switchyard/epp/response"
)

// seenMarker is set on every answer of the standard protocol: it shows that the picker has seen it.
var seenMarker = response.Header{Name: "x-went-into-resp-headers", Value: "true"}

// answerHeaders answers a message of response headers: with the headers given and those that plugins set. The
// length of a body that is changed is not known beforehand, and is not announced.
func (s *Service) answerHeaders(x *director.Exchange, f *frame, given ...response.Header) *extprocv3.ProcessingResponse {
	answer := &response.Answer{Endpoint: x.Endpoint(), Served: servedEndpoint(f)}
	for _, header := range given {
		answer.SetHeader(header.Name, header.Value)
	}
	for _, plugin := range s.options.Config.Responses {
		plugin.AnswerHeaders(answer)
	}
	mutation := &extprocv3.HeaderMutation{}
	for _, header := range answer.Headers() {
		mutation.SetHeaders = append(mutation.SetHeaders, setHeader(header.Name, header.Value))
	}
	if x.Rename != nil {
		mutation.RemoveHeaders = []string{"content-length"}
	}
	return &extprocv3.ProcessingResponse{
		Response: &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: headersAnswer(&extprocv3.CommonResponse{HeaderMutation: mutation})},
	}
}

// report is what plugins tell the proxy of an answer that is over, nil when they tell nothing.
func (s *Service) report(x *director.Exchange) *structpb.Struct {
	if len(s.options.Config.Reporters) == 0 {
		return nil
	}
	told := response.Usage{Input: x.Usage.Input, Output: x.Usage.Output, Cached: x.Usage.Cached}
	var namespaces map[string]*structpb.Value
	for _, reporter := range s.options.Config.Reporters {
		namespace, name, value, ok := reporter.Report(told)
		if !ok {
			continue
		}
		if namespaces == nil {
			namespaces = map[string]*structpb.Value{}
		}
		if namespaces[namespace] == nil {
			namespaces[namespace] = structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{}})
		}
		namespaces[namespace].GetStructValue().Fields[name] = structpb.NewNumberValue(float64(value))
	}
	if namespaces == nil {
		return nil
	}
	return &structpb.Struct{Fields: namespaces}
}

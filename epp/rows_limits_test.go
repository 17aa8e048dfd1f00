package epp_test

import (
	"context"
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/switchyard/switchyard/epp"
)

// TestRowsAMessageThatIsTooLarge ends its stream, and another one of the same connection goes on.
func TestRowsAMessageThatIsTooLarge(t *testing.T) {
	for _, protocol := range []string{"standard", "lean"} {
		s := start(t, epp.Options{MaxBody: 1 << 20})
		s.setPool("10.0.0.1:8000")
		beside, answer := s.begin(request)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		stream, err := extprocv3.NewExternalProcessorClient(s.conn).Process(metadata.AppendToOutgoingContext(ctx, "x-switchyard-protocol", protocol))
		if err != nil {
			t.Fatal(err)
		}
		// The picker may end the stream while the message is still on its way.
		_ = stream.Send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestBody{
			RequestBody: &extprocv3.HttpBody{Body: []byte(strings.Repeat("x", 3<<20)), EndOfStream: true}}})
		if _, err := stream.Recv(); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s: error %v, want ResourceExhausted", protocol, err)
		}
		if answer.GetDynamicMetadata() == nil {
			t.Errorf("%s: the request beside it was not placed: %v", protocol, answer)
		}
		finish(t, beside)
		s.expectIdle()
	}
}

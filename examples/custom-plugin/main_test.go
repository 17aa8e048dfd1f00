package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTheRackDecides asks the picker, over its wire protocol, for requests that name racks.
func TestTheRackDecides(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, listener, "picker.yaml", parse("10.0.0.1:8000=r1,10.0.0.2:8000=r2,10.0.0.3:8000=r3"))
	}()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		conn.Close()
		cancel()
		<-ended
	}()
	client := extprocv3.NewExternalProcessorClient(conn)
	for range 10 { // by chance this would go well once in 59049 times
		for rack, want := range map[string]string{"r1": "10.0.0.1:8000", "r3": "10.0.0.3:8000"} {
			if got := destination(ctx, t, client, rack); got != want {
				t.Fatalf("a request for rack %s goes to %q, want %s", rack, got, want)
			}
		}
	}
}

// destination is where the picker sends a request for a rack.
func destination(ctx context.Context, t *testing.T, client extprocv3.ExternalProcessorClient, rack string) string {
	t.Helper()
	stream, err := client.Process(ctx, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	header := func(name, value string) *corev3.HeaderValue {
		return &corev3.HeaderValue{Key: name, RawValue: []byte(value)}
	}
	err = stream.Send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{
		EndOfStream: true,
		Headers:     &corev3.HeaderMap{Headers: []*corev3.HeaderValue{header(":path", "/v1/models"), header("x-rack", rack)}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.CloseSend()
	for _, set := range answer.GetRequestHeaders().GetResponse().GetHeaderMutation().GetSetHeaders() {
		if set.GetHeader().GetKey() == "x-gateway-destination-endpoint" {
			return string(set.GetHeader().GetRawValue())
		}
	}
	return ""
}

func TestABadConfigurationIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "picker.yaml")
	text := "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins:\n- {type: rack-scorer, parameters: {shelf: x}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), nil, file, nil); err == nil || !strings.Contains(err.Error(), "shelf") {
		t.Errorf("error %v, want one about shelf", err)
	}
}

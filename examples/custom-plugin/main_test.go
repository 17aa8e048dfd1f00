package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// asProgram, in the environment, makes this test binary the example itself.
const asProgram = "SWITCHYARD_TEST_EXAMPLE"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func program(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// startPicker runs the example with the configuration beside it until the end of the test, and gives a connection to it.
func startPicker(t *testing.T) *grpc.ClientConn {
	t.Helper()
	cmd := program("--config-file", "picker.yaml", "--bind-address", "127.0.0.1", "--grpc-port", "0", "--grpc-health-port", "0",
		"--metrics-port", "0", "--secure-serving=false", "--drain-timeout", "1ms", "--zap-encoder", "json")
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var conn *grpc.ClientConn
	t.Cleanup(func() {
		if conn != nil {
			conn.Close()
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the picker ended with %v", err)
		}
	})
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		var line map[string]any
		if json.Unmarshal(lines.Bytes(), &line) != nil || line["msg"] != "picking" {
			continue
		}
		conn, err = grpc.NewClient(line["ext_proc"].(string), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	t.Fatalf("the picker ended before it served: %v", lines.Err())
	return nil
}

// TestTheRackDecides asks the picker, over its wire protocol, for requests that name racks.
func TestTheRackDecides(t *testing.T) {
	client := extprocv3.NewExternalProcessorClient(startPicker(t))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
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
	said, err := program("validate", file).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(said), "shelf") {
		t.Errorf("%v, %s; want status 1 and a word about shelf", err, said)
	}
}

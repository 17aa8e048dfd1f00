package epp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 5 * time.Second

// started is a picker that serves on loopback.
type started struct {
	*epp.EPP
	t     *testing.T
	pools *datalayer.Pools
	conn  *grpc.ClientConn
	// address is where it listens.
	address string
}

func start(t *testing.T, options epp.Options) *started {
	t.Helper()
	if options.Pools == nil {
		options.Pools = datalayer.New(datalayer.Options{})
	}
	options.Logger = slog.New(slog.DiscardHandler)
	picker, err := epp.New(options)
	if err != nil {
		t.Fatal(err)
	}
	server := picker.GRPCServer()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(80<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		<-served
	})
	return &started{EPP: picker, t: t, pools: options.Pools, conn: conn, address: listener.Addr().String()}
}

func (s *started) setPool(address ...string) {
	var specs []datalayer.Spec
	for i, a := range address {
		specs = append(specs, datalayer.Spec{Name: fmt.Sprintf("pod-%d-rank-0", i), Namespace: "ns", Address: a})
	}
	s.pools.Set("ns/pool", specs)
}

// begin starts a lean request and returns how to end it.
func (s *started) begin(body string) (extprocv3.ExternalProcessor_ProcessClient, *extprocv3.ProcessingResponse) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.t.Cleanup(cancel)
	stream, err := extprocv3.NewExternalProcessorClient(s.conn).Process(metadata.AppendToOutgoingContext(ctx, "x-switchyard-protocol", "lean"))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := stream.Send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestBody{
		RequestBody: &extprocv3.HttpBody{Body: []byte(body), EndOfStream: true}}}); err != nil {
		s.t.Fatal(err)
	}
	response, err := stream.Recv()
	if err != nil {
		s.t.Fatal(err)
	}
	return stream, response
}

const request = `{"model":"m","messages":[{"role":"user","content":"hello"}]}`

func (s *started) health(service string) (healthv1.HealthCheckResponse_ServingStatus, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	response, err := healthv1.NewHealthClient(s.conn).Check(ctx, &healthv1.HealthCheckRequest{Service: service})
	return response.GetStatus(), err
}

func (s *started) expectHealth(want map[string]healthv1.HealthCheckResponse_ServingStatus) {
	s.t.Helper()
	for service, status := range want {
		if got, err := s.health(service); err != nil || got != status {
			s.t.Errorf("health of %q is %s (%v), want %s", service, got, err, status)
		}
	}
}

const (
	serving    = healthv1.HealthCheckResponse_SERVING
	notServing = healthv1.HealthCheckResponse_NOT_SERVING
	extProc    = "envoy.service.ext_proc.v3.ExternalProcessor"
)

func TestHealth(t *testing.T) {
	s := start(t, epp.Options{})
	s.expectHealth(map[string]healthv1.HealthCheckResponse_ServingStatus{
		"": notServing, "readiness": notServing, extProc: notServing, "inference-extension": notServing, "liveness": serving})
	s.expectHealth(map[string]healthv1.HealthCheckResponse_ServingStatus{"any other": notServing})
	s.setPool("10.0.0.1:8000")
	s.expectHealth(map[string]healthv1.HealthCheckResponse_ServingStatus{
		"": serving, "readiness": serving, extProc: serving, "inference-extension": serving, "liveness": serving})
	list, err := healthv1.NewHealthClient(s.conn).List(t.Context(), &healthv1.HealthListRequest{})
	if err != nil || list.GetStatuses()[extProc].GetStatus() != serving || list.GetStatuses()["liveness"].GetStatus() != serving {
		t.Errorf("list %v, %v", list, err)
	}
}

func TestHealthAsksWhetherPoolsAreSynced(t *testing.T) {
	s := start(t, epp.Options{Synced: func() bool { return false }})
	s.setPool("10.0.0.1:8000")
	s.expectHealth(map[string]healthv1.HealthCheckResponse_ServingStatus{"": notServing, "liveness": serving})
}

func TestHealthWatch(t *testing.T) {
	s := start(t, epp.Options{DrainTimeout: time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watch, err := healthv1.NewHealthClient(s.conn).Watch(ctx, &healthv1.HealthCheckRequest{Service: "readiness"})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want healthv1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		if got, err := watch.Recv(); err != nil || got.GetStatus() != want {
			t.Fatalf("watch says %s (%v), want %s", got.GetStatus(), err, want)
		}
	}
	expect(notServing)
	s.setPool("10.0.0.1:8000")
	expect(serving)
	drained := make(chan struct{})
	go func() { s.Drain(ctx); close(drained) }()
	if got, err := watch.Recv(); err == nil && got.GetStatus() != notServing {
		t.Fatalf("watch says %s while it drains", got.GetStatus())
	}
	// The watch must not hold up the stop.
	<-drained
	if ctx.Err() != nil {
		t.Fatal("the drain took until its limit")
	}
}

func TestDrain(t *testing.T) {
	s := start(t, epp.Options{DrainTimeout: 200 * time.Millisecond})
	s.setPool("10.0.0.1:8000")
	open, response := s.begin(request)
	if response.GetDynamicMetadata() == nil {
		t.Fatalf("answer %v", response)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	drained := make(chan struct{})
	go func() { s.Drain(ctx); close(drained) }()
	s.eventually("not ready", func() bool {
		got, err := s.health("readiness")
		return err == nil && got == notServing
	})
	s.expectHealth(map[string]healthv1.HealthCheckResponse_ServingStatus{"liveness": serving})
	// It still serves.
	second, response := s.begin(request)
	if response.GetDynamicMetadata() == nil {
		t.Fatalf("answer while draining %v", response)
	}
	finish(t, second)
	s.eventually("new connections are refused", func() bool {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	select {
	case <-drained:
		t.Fatal("drained while a request was under way")
	default:
	}
	finish(t, open)
	<-drained
	if ctx.Err() != nil {
		t.Fatal("the drain took until its limit")
	}
	s.expectIdle()
}

func TestDrainIsBounded(t *testing.T) {
	s := start(t, epp.Options{})
	s.setPool("10.0.0.1:8000")
	stream, _ := s.begin(request)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	s.Drain(ctx)
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable && status.Code(err) != codes.Canceled {
		t.Errorf("the request was not cut off: %v", err)
	}
	s.expectIdle()
}

func finish(t *testing.T, stream extprocv3.ExternalProcessor_ProcessClient) {
	t.Helper()
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Fatalf("after the end: %v", err)
	}
}

func (s *started) eventually(what string, holds func() bool) {
	s.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-deadline:
			s.t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

func (s *started) expectIdle() {
	s.t.Helper()
	pool, _ := s.pools.Get("ns/pool")
	s.eventually("nothing in flight", func() bool {
		for _, endpoint := range pool.Endpoints() {
			if endpoint.Requests() != 0 || endpoint.Tokens() != 0 {
				return false
			}
		}
		return true
	})
}

// TestLargestBody sends a body of the size that a proxy may send at most.
func TestLargestBody(t *testing.T) {
	s := start(t, epp.Options{MaxBody: 8 << 20})
	s.setPool("10.0.0.1:8000")
	prompt := strings.Repeat("x", 8<<20-len(request))
	stream, response := s.begin(`{"model":"m","messages":[{"role":"user","content":"` + prompt + `"}]}`)
	if response.GetDynamicMetadata() == nil {
		t.Fatalf("answer %v", response)
	}
	finish(t, stream)
}

// TestScrapesAndShows runs the picker against a real metrics page and looks at what it shows.
func TestScrapesAndShows(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "vllm:num_requests_waiting 4\nvllm:num_requests_running 7\nvllm:kv_cache_usage_perc 0.5\n"+
			"vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"1000\"} 1\n")
	}))
	defer page.Close()
	s := start(t, epp.Options{Build: metrics.Build{Commit: "abc", Ref: "main"}})
	s.setPool(strings.TrimPrefix(page.URL, "http://"), "127.0.0.1:1")
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	defer func() { cancel(); <-ran }()
	web := httptest.NewServer(s.Handler())
	defer web.Close()

	stream, _ := s.begin(request)
	s.eventually("metrics are read and shown", func() bool {
		return strings.Contains(get(t, web.URL+"/metrics"), `llm_d_epp_average_queue_size{name="pool"} 4`)
	})
	text := get(t, web.URL+"/metrics")
	for _, line := range []string{
		`llm_d_epp_ready_endpoints{name="pool"} 2`,
		`llm_d_epp_average_running_requests{name="pool"} 7`,
		`llm_d_epp_average_kv_cache_utilization{name="pool"} 0.5`,
		`llm_d_epp_per_endpoint_queue_size{model_server_endpoint="pod-0-rank-0",name="pool"} 4`,
		`llm_d_epp_info{build_ref="main",commit="abc"} 1`,
		`llm_d_epp_request_running{fairness_id="default-flow",model_name="m",priority="0",target_model_name="m"} 1`,
		`llm_d_epp_request_total{fairness_id="default-flow",model_name="m",priority="0",target_model_name="m"} 1`,
		`llm_d_epp_scheduler_e2e_duration_seconds_count 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	var shown struct {
		Ready bool
		Pools []struct {
			Name           string
			StaleEndpoints int
			Endpoints      []struct {
				Name              string
				InFlight, Waiting int
				MetricsAgeSeconds *float64
				Stale             bool
				MetricsError      string
			}
		}
	}
	if err := json.Unmarshal([]byte(get(t, web.URL+"/debug/epp")), &shown); err != nil {
		t.Fatal(err)
	}
	if !shown.Ready || len(shown.Pools) != 1 || shown.Pools[0].Name != "ns/pool" || shown.Pools[0].StaleEndpoints != 1 {
		t.Fatalf("/debug/epp: %+v", shown)
	}
	endpoints := shown.Pools[0].Endpoints
	if endpoints[0].Waiting != 4 || endpoints[0].Stale || endpoints[0].MetricsAgeSeconds == nil {
		t.Errorf("the endpoint that answers: %+v", endpoints[0])
	}
	if !endpoints[1].Stale || endpoints[1].MetricsAgeSeconds != nil {
		t.Errorf("the endpoint that is not there: %+v", endpoints[1])
	}
	if endpoints[0].InFlight+endpoints[1].InFlight != 1 {
		t.Errorf("in flight: %+v", endpoints)
	}
	finish(t, stream)
}

func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v", url, response.StatusCode, err)
	}
	return string(text)
}

func TestNewNeedsPools(t *testing.T) {
	if _, err := epp.New(epp.Options{Config: config.Default()}); err == nil {
		t.Fatal("a picker without pools was made")
	}
}

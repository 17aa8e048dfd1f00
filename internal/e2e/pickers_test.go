package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/switchyard/switchyard/internal/stack"
)

// What the proxies are promised to do about a picker that fails them.
const (
	// pickerConnects is how long a connection to a picker may take.
	pickerConnects = 250 * time.Millisecond
	// pickerAnswers is how long one answer of a picker may take.
	pickerAnswers = 500 * time.Millisecond
	// pickerNoticed is how long it takes, at most, until a picker that does not answer health checks is not
	// asked any more: the interval of the checks and the timeout of one.
	pickerNoticed = 1500 * time.Millisecond
	// pickerBack is how long it takes, at most, until a picker that works again is asked again: a health check
	// that fails just then, and the next one.
	pickerBack = 2 * time.Second
	// pickerSlack is what a busy machine may add to a request.
	pickerSlack = 400 * time.Millisecond
)

// Where the picked and the served address travel in metadata.
const (
	pickedKey = "x-gateway-destination-endpoint"
	servedKey = "x-gateway-destination-endpoint-served"
)

// instantSim makes simulators answer without waiting.
var instantSim = []string{"--time-scale", "1e-9", "--max-running", "1024"}

// failOpen and failClose are the last part of a pool's spec: the embedded picker with a failure mode.
const (
	failOpen  = "endpointPickerRef: {group: switchyard.dev, kind: EndpointPicker, name: embedded, failureMode: FailOpen}"
	failClose = "endpointPickerRef: {group: switchyard.dev, kind: EndpointPicker, name: embedded, failureMode: FailClose}"
)

// pickerAt makes a world whose proxies ask the picker at an address that prepare gives. prepare runs when the
// manifests and the simulators are there, and nothing else yet.
func pickerAt(t *testing.T, manifests string, prepare func(w *world) netip.AddrPort) *world {
	t.Helper()
	w := newManifests(t, manifests)
	w.startSimulators()
	address := prepare(w)
	w.startStack(stack.Options{Pickers: []netip.AddrPort{address}})
	w.startFleet(w.stack.XDSAddr, 1, 1)
	return w
}

// pickerProcess is `controlplane epp` at an address that it keeps when it is started again.
type pickerProcess struct {
	w       *world
	process *process
	address netip.AddrPort
	health  int
	metrics int
}

func newPickerProcess(w *world) *pickerProcess {
	return &pickerProcess{
		w: w, health: freePort(w.t), metrics: freePort(w.t),
		address: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(freePort(w.t))),
	}
}

// start runs the picker and waits until it would pick.
func (p *pickerProcess) start() {
	p.w.t.Helper()
	p.process = startProcess(p.w.t, "epp", "-f", p.w.dir, "--secure-serving=false", "--grpc-port", strconv.Itoa(int(p.address.Port())),
		"--grpc-health-port", strconv.Itoa(p.health), "--metrics-port", strconv.Itoa(p.metrics))
	eventually(p.w.t, 20*time.Second, "the picker is ready", func() bool {
		r, err := send(newClient(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/debug/epp", p.metrics), "")
		return err == nil && strings.Contains(r.body, `"ready": true`)
	})
}

// pause stops the process where it stands, until the end of the test.
func (p *pickerProcess) pause() {
	p.w.t.Helper()
	p.process.signal(syscall.SIGSTOP)
	eventually(p.w.t, 5*time.Second, "the picker stands still", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.process.cmd.Process.Pid))
		if err != nil || len(threads) == 0 {
			return false
		}
		for _, thread := range threads {
			if stat, err := os.ReadFile(thread); err != nil || !strings.Contains(string(stat), ") T ") {
				return false
			}
		}
		return true
	})
}

// resume lets a paused process go on.
func (p *pickerProcess) resume() { p.process.signal(syscall.SIGCONT) }

// picked waits until requests are picked for.
func (w *world) picked(within time.Duration) {
	w.t.Helper()
	eventually(w.t, within, "requests are picked for", func() bool {
		r := w.post("/v1/chat/completions", chat("hello", false, 1))
		return r.status == http.StatusOK && w.access.line(w.t, r.headers.Get("x-request-id")).Picked != ""
	})
}

// podAddress is host:port of the n-th address of the world's network.
func (w *world) podAddress(n int) string { return fmt.Sprintf("%s.%d:8000", w.net, n) }

// wire is a TCP forwarder that can be cut as a network is: nothing is closed and nothing is refused, bytes
// and connection attempts just stay unanswered.
type wire struct {
	t       *testing.T
	l       net.Listener
	target  string
	fillers []net.Conn

	mu    sync.Mutex
	whole chan struct{} // closed while bytes pass
	conns []net.Conn
	wg    sync.WaitGroup
}

// newWire forwards from an address, of which the port may be 0, to the target.
func newWire(t *testing.T, from, target string) *wire {
	t.Helper()
	w := &wire{t: t, l: listenShort(t, from), target: target, whole: make(chan struct{})}
	close(w.whole)
	w.wg.Go(w.accept)
	t.Cleanup(w.close)
	return w
}

func (w *wire) address() netip.AddrPort { return w.l.Addr().(*net.TCPAddr).AddrPort() }

// listenShort listens with the shortest queue of connections that the kernel offers.
func listenShort(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var listenErr error
	if err := raw.Control(func(fd uintptr) { listenErr = syscall.Listen(int(fd), 0) }); err != nil || listenErr != nil {
		t.Fatal(err, listenErr)
	}
	return l
}

func (w *wire) gate() chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.whole
}

func (w *wire) accept() {
	for {
		<-w.gate()
		in, err := w.l.Accept()
		if err != nil {
			return
		}
		<-w.gate()
		out, err := net.Dial("tcp", w.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, in, out)
		w.mu.Unlock()
		w.wg.Go(func() { w.copy(out, in) })
		w.wg.Go(func() { w.copy(in, out) })
	}
}

func (w *wire) copy(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		<-w.gate()
		if _, werr := to.Write(buffer[:n]); err != nil || werr != nil {
			return
		}
	}
}

// cut stops everything, and fills the queue of connections, so that the kernel drops further attempts.
func (w *wire) cut() {
	w.t.Helper()
	w.mu.Lock()
	w.whole = make(chan struct{})
	w.mu.Unlock()
	w.fill()
}

// fill connects until attempts stay unanswered: twice in a row, since the forwarder may have been about to
// take one from the queue.
func (w *wire) fill() {
	w.t.Helper()
	unanswered := 0
	for range 64 {
		c, err := net.DialTimeout("tcp", w.l.Addr().String(), 50*time.Millisecond)
		if err == nil {
			w.fillers = append(w.fillers, c)
			unanswered = 0
		} else if unanswered++; unanswered == 2 {
			return
		}
	}
	w.t.Fatal("the kernel still takes connections")
}

// drop closes the connections that there are.
func (w *wire) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
}

// mend lets everything pass again.
func (w *wire) mend() {
	for _, c := range w.fillers {
		_ = c.Close()
	}
	w.fillers = nil
	select {
	case <-w.gate():
	default:
		close(w.gate())
	}
}

func (w *wire) close() {
	w.mend()
	_ = w.l.Close()
	w.mu.Lock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.mu.Unlock()
	w.wg.Wait()
}

// fakePicker is an ext_proc server that does what a test wants. It speaks the protocol that it is spoken to
// in, and its health is always fine.
type fakePicker struct {
	extprocv3.UnimplementedExternalProcessorServer
	address netip.AddrPort
	// pick gives the addresses for a request; nil never answers.
	pick func() string

	mu      sync.Mutex
	reports []string // served addresses that proxies told
}

// startFakePicker serves until the end of the test; an empty address lets the kernel choose.
func startFakePicker(t *testing.T, address string, pick func() string, options ...grpc.ServerOption) *fakePicker {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p := &fakePicker{pick: pick, address: l.Addr().(*net.TCPAddr).AddrPort()}
	server := grpc.NewServer(options...)
	extprocv3.RegisterExternalProcessorServer(server, p)
	healthServer := health.NewServer()
	healthServer.SetServingStatus(extprocv3.ExternalProcessor_ServiceDesc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	healthv1.RegisterHealthServer(server, healthServer)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("the fake picker ended with: %v", err)
		}
	})
	return p
}

func (p *fakePicker) addrPort(*world) netip.AddrPort { return p.address }

// served are the addresses that proxies reported to have served, in order.
func (p *fakePicker) served() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.reports)
}

// Process implements extprocv3.ExternalProcessorServer.
func (p *fakePicker) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	protocol := metadata.ValueFromIncomingContext(stream.Context(), "x-switchyard-protocol")
	lean := len(protocol) > 0 && protocol[0] == "lean"
	var body []byte
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) || stream.Context().Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if p.pick == nil {
			continue
		}
		p.readServed(m)
		answers := p.answer(m, lean, &body)
		for _, a := range answers {
			if err := stream.Send(a); err != nil {
				return err
			}
		}
	}
}

func (p *fakePicker) readServed(m *extprocv3.ProcessingRequest) {
	value := m.GetMetadataContext().GetFilterMetadata()["envoy.lb"].GetFields()[servedKey].GetStringValue()
	if value == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.reports) == 0 || m.GetResponseHeaders() != nil || m.GetResponseTrailers() != nil {
		p.reports = append(p.reports, value)
	}
}

// answer gives the answers to one message; body collects the request body of the standard protocol.
func (p *fakePicker) answer(m *extprocv3.ProcessingRequest, lean bool, body *[]byte) []*extprocv3.ProcessingResponse {
	switch part := m.Request.(type) {
	case *extprocv3.ProcessingRequest_RequestHeaders:
		switch {
		case part.RequestHeaders.EndOfStream:
			return []*extprocv3.ProcessingResponse{p.headersWithPick()}
		case lean:
			return []*extprocv3.ProcessingResponse{requestHeadersAnswer(nil)}
		}
		return nil
	case *extprocv3.ProcessingRequest_RequestBody:
		if lean {
			return []*extprocv3.ProcessingResponse{{
				Response:        &extprocv3.ProcessingResponse_RequestBody{RequestBody: &extprocv3.BodyResponse{}},
				DynamicMetadata: pickMetadata(p.pick()),
			}}
		}
		*body = append(*body, part.RequestBody.Body...)
		if !part.RequestBody.EndOfStream {
			return nil
		}
		return append([]*extprocv3.ProcessingResponse{p.headersWithPick()}, echoRequestBody(*body)...)
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		return []*extprocv3.ProcessingResponse{{
			Response: &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{}},
		}}
	case *extprocv3.ProcessingRequest_ResponseBody:
		return []*extprocv3.ProcessingResponse{{
			Response: &extprocv3.ProcessingResponse_ResponseBody{
				ResponseBody: streamedBody(part.ResponseBody.Body, part.ResponseBody.EndOfStream),
			},
		}}
	case *extprocv3.ProcessingRequest_ResponseTrailers:
		return []*extprocv3.ProcessingResponse{{
			Response: &extprocv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: &extprocv3.TrailersResponse{}},
		}}
	}
	return nil
}

func (p *fakePicker) headersWithPick() *extprocv3.ProcessingResponse {
	picked := p.pick()
	out := requestHeadersAnswer(&extprocv3.CommonResponse{
		HeaderMutation: &extprocv3.HeaderMutation{SetHeaders: []*corev3.HeaderValueOption{{
			Header: &corev3.HeaderValue{Key: pickedKey, RawValue: []byte(picked)},
		}}},
	})
	out.DynamicMetadata = pickMetadata(picked)
	return out
}

func requestHeadersAnswer(common *extprocv3.CommonResponse) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{
		RequestHeaders: &extprocv3.HeadersResponse{Response: common},
	}}
}

func pickMetadata(picked string) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		"envoy.lb": structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
			pickedKey: structpb.NewStringValue(picked),
		}}),
	}}
}

// echoRequestBody gives a body back in the chunks that the protocol allows.
func echoRequestBody(body []byte) []*extprocv3.ProcessingResponse {
	var out []*extprocv3.ProcessingResponse
	for chunk := range slices.Chunk(body, 62000) {
		out = append(out, &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestBody{
			RequestBody: streamedBody(chunk, false),
		}})
	}
	last := out[len(out)-1].GetRequestBody().Response.BodyMutation.GetStreamedResponse()
	last.EndOfStream = true
	return out
}

func streamedBody(chunk []byte, end bool) *extprocv3.BodyResponse {
	return &extprocv3.BodyResponse{Response: &extprocv3.CommonResponse{BodyMutation: &extprocv3.BodyMutation{
		Mutation: &extprocv3.BodyMutation_StreamedResponse{
			StreamedResponse: &extprocv3.StreamedBodyResponse{Body: chunk, EndOfStream: end},
		},
	}}}
}

// envoyStat reads one number of a proxy's statistics.
func (w *world) envoyStat(proxy int, name string) int {
	w.t.Helper()
	text, err := w.fleet.Proxies()[proxy].AdminRequest(context.Background(), http.MethodGet, "/stats?filter=^"+name+"$")
	if err != nil {
		w.t.Fatal(err)
	}
	_, value, _ := strings.Cut(strings.TrimSpace(text), ": ")
	n, err := strconv.Atoi(value)
	if err != nil {
		w.t.Fatalf("statistic %s is %q", name, text)
	}
	return n
}

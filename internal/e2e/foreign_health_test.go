package e2e

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"

	"github.com/switchyard/switchyard/internal/stack"
)

// stoppable is a listener whose process can be stopped: the kernel goes on to accept connections and bytes for
// it, and nothing reads them.
type stoppable struct {
	net.Listener
	mu      sync.Mutex
	running chan struct{} // closed while the process runs
}

func startStoppable(t *testing.T, address string) *stoppable {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p := &stoppable{Listener: l, running: make(chan struct{})}
	close(p.running)
	return p
}

func (p *stoppable) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = make(chan struct{})
}

func (p *stoppable) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.running:
	default:
		close(p.running)
	}
}

// wait lasts as long as the process is stopped.
func (p *stoppable) wait() {
	p.mu.Lock()
	running := p.running
	p.mu.Unlock()
	<-running
}

func (p *stoppable) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	p.wait()
	if err != nil {
		return nil, err
	}
	return stoppedConn{Conn: c, process: p}, nil
}

type stoppedConn struct {
	net.Conn
	process *stoppable
}

func (c stoppedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.process.wait()
	return n, err
}

// serveWithoutHealth serves a picker that knows its protocol and nothing else: to a question for its health
// it answers UNIMPLEMENTED, as pickers do that have their health service on a port of its own.
func serveWithoutHealth(t *testing.T, p *stoppable, pick func() string, options ...grpc.ServerOption) {
	t.Helper()
	server := grpc.NewServer(options...)
	extprocv3.RegisterExternalProcessorServer(server, &fakePicker{pick: pick})
	served := make(chan error, 1)
	go func() { served <- server.Serve(p) }()
	t.Cleanup(func() {
		p.resume()
		server.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
}

// TestForeignPickerWithoutHealthService has a picker that serves no gRPC health on its port: it is alive all the
// same, and a FailClose pool serves. When it hangs that is noticed, with TLS and without.
func TestForeignPickerWithoutHealthService(t *testing.T) {
	for name, c := range map[string]struct {
		appProtocol string
		options     []grpc.ServerOption
	}{
		"TLS":       {"http2", []grpc.ServerOption{grpc.Creds(selfSigned(t))}},
		"plaintext": {"kubernetes.io/h2c", nil},
	} {
		t.Run(name, func(t *testing.T) {
			manifests := strings.ReplaceAll(foreignPool("FailClose"), "appProtocol: http2", "appProtocol: "+c.appProtocol)
			w := newManifests(t, gateway+poolRoute("llm")+manifests+simPods("sim", 1, 2, instantSim...))
			w.startSimulators()
			p := startStoppable(t, w.net+".200:9002")
			serveWithoutHealth(t, p, func() string { return w.podAddress(1) }, c.options...)
			w.startStack(stack.Options{})
			w.startFleet(w.stack.XDSAddr, 1, 1)
			w.picked(10 * time.Second)
			for began := time.Now(); time.Since(began) < 4*time.Second; { // four health checks
				if r := w.post("/v1/chat/completions", chat("hello", false, 1)); r.status != http.StatusOK {
					t.Fatalf("status %d %s, %s after the first pick", r.status, r.body, time.Since(began))
				}
			}

			p.stop()
			stopped := time.Now()
			eventually(t, pickerNoticed+2*pickerSlack, "requests are refused at once", func() bool {
				client := newClient()
				client.Timeout = pickerSlack
				r, err := send(client, http.MethodPost, w.url("/v1/chat/completions"), chat("hello", false, 1))
				return err == nil && r.status == http.StatusServiceUnavailable
			})
			t.Logf("noticed after %s", time.Since(stopped))
			p.resume()
			w.picked(pickerBack + pickerSlack)
		})
	}
}

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/internal/stack"
)

// foreignPool is the pool default/llm with somebody else's picker behind the Service epp, at $NET.200:9002.
func foreignPool(failureMode string) string {
	return pool("llm", "sim", "endpointPickerRef: {name: epp, port: {number: 9002}, failureMode: "+failureMode+"}") + `
---
apiVersion: v1
kind: Service
metadata: {name: epp, namespace: default}
spec:
  ports: [{name: grpc, port: 9002, targetPort: 9002, appProtocol: http2}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: epp-1, namespace: default, labels: {kubernetes.io/service-name: epp}}
addressType: IPv4
ports: [{name: grpc, port: 9002}]
endpoints:
- {addresses: ["$NET.200"], conditions: {ready: true}}
`
}

// foreignPicker speaks the Endpoint Picker Protocol as specified, over TLS that nobody can verify.
type foreignPicker struct {
	t        *testing.T
	picker   *epp.EPP
	registry *prometheus.Registry
	address  string
	server   *grpc.Server
	served   chan error
}

func newForeignPicker(w *world, pods int) *foreignPicker {
	w.t.Helper()
	pools := datalayer.New(datalayer.Options{Logger: testLog(w.t)})
	var specs []datalayer.Spec
	for n := range pods {
		address := w.podAddress(n + 1)
		specs = append(specs, datalayer.Spec{Name: address, Namespace: "default", Pod: address, Address: address})
	}
	pools.Set("default/llm", specs)
	p := &foreignPicker{t: w.t, address: w.net + ".200:9002", registry: prometheus.NewRegistry()}
	var err error
	p.picker, err = epp.New(epp.Options{Pools: pools, Registry: p.registry, Logger: testLog(w.t)})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (p *foreignPicker) start() {
	p.t.Helper()
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.server, p.served = p.picker.GRPCServer(grpc.Creds(selfSigned(p.t))), make(chan error, 1)
	server, served := p.server, p.served
	go func() { served <- server.Serve(l) }()
	p.t.Cleanup(func() { server.Stop() })
}

// kill closes every connection, as the end of the process would.
func (p *foreignPicker) kill() {
	p.t.Helper()
	p.server.Stop()
	if err := <-p.served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		p.t.Error(err)
	}
}

// selfSigned is a certificate for no name that nobody has signed.
func selfSigned(t *testing.T) credentials.TransportCredentials {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
}

// metric adds up the samples of a histogram's sum in the foreign picker's registry.
func (p *foreignPicker) metric(name string) (sum float64) {
	p.t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetHistogram().GetSampleSum()
			}
		}
	}
	return sum
}

// TestForeignPicker has somebody else's picker choose: prompts return to their servers, bodies of all kinds
// pass through it intact, and streams through it unbuffered.
func TestForeignPicker(t *testing.T) {
	const interToken, tokens = 15 * time.Millisecond, 20
	w := newManifests(t, gateway+poolRoute("llm")+foreignPool("FailClose")+simPods("sim", 1, 4,
		"--prefill-tokens-per-second", "1e9", "--first-token", "1ms", "--inter-token", interToken.String(), "--cache-blocks", "200000"))
	w.startSimulators()
	p := newForeignPicker(w, 4)
	p.start()
	w.startStack(stack.Options{})
	w.startFleet(w.stack.XDSAddr, 1, 1)
	w.picked(10 * time.Second)
	expectAffinity(t, w)

	for _, size := range []int{200, 62000, 62001, 1 << 20, 4 << 20} {
		body := promptOfSize(size)
		for _, r := range []reply{
			w.post("/v1/chat/completions", body), postChunked(t, w, "/v1/chat/completions", body), w.post("/echo", body),
		} {
			if l := w.access.line(t, r.headers.Get("x-request-id")); r.status != http.StatusOK || l.Picked == "" || l.Picked != l.Served {
				t.Errorf("%d bytes: status %d %.100s, access log %+v", size, r.status, r.body, l)
			}
		}
	}
	if r := w.get("/v1/models"); r.status != http.StatusOK || w.access.line(t, r.headers.Get("x-request-id")).Picked == "" {
		t.Errorf("GET: status %d %s", r.status, r.body)
	}

	var first, gaps []time.Duration
	for range 10 {
		s := openStream(t, w, chat("tell me", true, tokens))
		s.finish()
		if s.status != http.StatusOK || s.words() != tokens || !s.done {
			t.Fatalf("status %d, %d words, done %t", s.status, s.words(), s.done)
		}
		first = append(first, s.arrived[0].Sub(s.written))
		for i := 2; i < len(s.arrived); i++ {
			gaps = append(gaps, s.arrived[i].Sub(s.arrived[i-1]))
		}
	}
	slices.Sort(first)
	slices.Sort(gaps)
	t.Logf("first event after %s (median), then every %s (p10 %s)", first[len(first)/2], gaps[len(gaps)/2], gaps[len(gaps)/10])
	if first[len(first)/2] > 20*time.Millisecond || gaps[len(gaps)/10] < interToken/2 {
		t.Error("events are held back")
	}
	var want float64
	for _, s := range w.sims {
		want += float64(s.Stats().GenerationTokens)
	}
	eventually(t, 3*time.Second, "the picker is idle", func() bool { return p.metric("llm_d_epp_request_running") == 0 })
	if got := p.metric("llm_d_epp_request_output_tokens"); got == 0 || got > want {
		t.Errorf("the picker counts %v tokens out, the model servers %v", got, want)
	}
}

// TestForeignPickerBodies compares what a client sends with what arrives behind a picker that has all of it
// in its hands.
func TestForeignPickerBodies(t *testing.T) {
	w := newManifests(t, gateway+poolRoute("llm")+foreignPool("FailClose")+recorderPods("sim", 1, 1))
	server := startRecorder(t, "1", w.podAddress(1))
	newForeignPicker(w, 1).start()
	w.startStack(stack.Options{})
	w.startFleet(w.stack.XDSAddr, 1, 1)
	w.picked(10 * time.Second)
	server.take()
	for _, size := range []int{100, 62000, 62001, 640 << 10, 4 << 20, maxBody} {
		body := promptOfSize(size)
		began := time.Now()
		if r := w.post("/v1/chat/completions", body); r.status != http.StatusOK {
			t.Fatalf("%d bytes: status %d %s", size, r.status, r.body)
		}
		t.Logf("%d bytes took %s", size, time.Since(began))
		expectArrived(t, server, body)
		if r := postChunked(t, w, "/v1/chat/completions", body); r.status != http.StatusOK {
			t.Fatalf("%d bytes, chunked: status %d %s", size, r.status, r.body)
		}
		expectArrived(t, server, body)
	}
}

// TestForeignPickerIsToldWhoServed has a foreign picker name several endpoints of which the first cannot serve.
func TestForeignPickerIsToldWhoServed(t *testing.T) {
	w := newManifests(t, gateway+poolRoute("llm")+foreignPool("FailClose")+simPods("sim", 1, 2, instantSim...)+deadPod("sim", 3))
	w.startSimulators()
	misled := &misledPicker{}
	p := startFakePicker(t, w.net+".200:9002", misled.pick, grpc.Creds(selfSigned(t)))
	misled.name(w.podAddress(1))
	w.startStack(stack.Options{})
	w.startFleet(w.stack.XDSAddr, 1, 1)
	w.picked(10 * time.Second)
	for _, c := range misleadings {
		if c.serves == "" {
			continue
		}
		before := len(p.served())
		misled.name(w.fill(c.picks))
		r := w.post("/v1/chat/completions", chat("hello", false, 1))
		if l := w.access.line(t, r.headers.Get("x-request-id")); r.status != http.StatusOK || l.Served != w.fill(c.serves) {
			t.Errorf("%s: status %d %s, access log %+v", c.name, r.status, r.body, l)
		}
		if told := p.served()[before:]; len(told) == 0 || told[0] != w.fill(c.serves) {
			t.Errorf("%s: the picker was told %v, want %s", c.name, told, w.fill(c.serves))
		}
	}
}

// TestForeignPickerFailure takes a foreign picker away. A request that has been given to it cannot be taken
// back, so that also a FailOpen pool answers 503 until the failure is noticed.
func TestForeignPickerFailure(t *testing.T) {
	for _, c := range []struct {
		name string
		// open starts the picker, and gives what makes it fail, and come back; nil if it never worked.
		open func(w *world) (fail, mend func())
		outage
		lost time.Duration // how long requests to FailOpen pools may be answered 503
	}{
		{
			name: "never there",
			open: func(*world) (fail, mend func()) { return nil, nil },
		}, {
			name: "killed",
			open: func(w *world) (fail, mend func()) {
				p := newForeignPicker(w, 4)
				p.start()
				return p.kill, p.start
			},
			outage: outage{held: pickerConnects, noticed: pickerNoticed},
			lost:   pickerConnects,
		},
	} {
		for mode, want := range map[string]int{"FailOpen": http.StatusOK, "FailClose": http.StatusServiceUnavailable} {
			t.Run(c.name+", "+mode, func(t *testing.T) {
				w := newManifests(t, gateway+poolRoute("llm")+foreignPool(mode)+simPods("sim", 1, 4, instantSim...))
				w.startSimulators()
				fail, mend := c.open(w)
				w.startStack(stack.Options{})
				w.startFleet(w.stack.XDSAddr, 1, 1)
				lost, last := 0, time.Duration(0)
				for _, r := range c.suffer(t, w, fail) {
					if r.status == want {
						continue
					}
					lost, last = lost+1, r.began+r.took
					if r.status != http.StatusServiceUnavailable {
						t.Fatalf("%s after the outage: status %d %s, want %d", r.began, r.status, r.body, want)
					}
				}
				t.Logf("%d times 503 in place of %d, the last time %s after the outage", lost, want, last)
				if last > c.lost+pickerSlack {
					t.Errorf("503 still %s after the outage", last)
				}
				if mend != nil {
					mend()
					w.picked(pickerBack + pickerSlack)
				}
			})
		}
	}
}

// TestForeignPickerHangs cuts a foreign picker off in the midst of its work. Requests that it holds are lost to
// it until the connection is found dead, which takes minutes: there is no bound on an answer in this protocol,
// and servers do not suffer frequent pings. New requests go by it as soon as its health check has failed.
func TestForeignPickerHangs(t *testing.T) {
	for mode, want := range map[string]int{"FailOpen": http.StatusOK, "FailClose": http.StatusServiceUnavailable} {
		t.Run(mode, func(t *testing.T) {
			w := newManifests(t, gateway+poolRoute("llm")+foreignPool(mode)+simPods("sim", 1, 4, instantSim...))
			w.startSimulators()
			p := newForeignPicker(w, 4)
			at := p.address
			p.address = w.net + ".201:9002"
			p.start()
			wire := newWire(t, at, p.address)
			w.startStack(stack.Options{})
			w.startFleet(w.stack.XDSAddr, 1, 1)
			w.picked(10 * time.Second)
			ask := func() (int, error) {
				client := newClient()
				client.Timeout = pickerSlack
				r, err := send(client, http.MethodPost, w.url("/v1/chat/completions"), chat("hello", false, 1))
				return r.status, err
			}

			wire.cut()
			cut := time.Now()
			eventually(t, pickerNoticed+2*pickerSlack, "requests go by the picker", func() bool {
				status, err := ask()
				return err == nil && status == want
			})
			t.Logf("noticed after %s", time.Since(cut))
			for range 20 {
				if status, err := ask(); err != nil || status != want {
					t.Fatalf("%v, status %d, want %d", err, status, want)
				}
			}
			wire.mend()
			w.picked(pickerBack + pickerSlack)
		})
	}
}

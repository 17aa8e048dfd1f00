package command

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/switchyard/switchyard/epp/certificate"
)

const patience = 20 * time.Second

// pool is an InferencePool with one pod; nothing listens where the pod is.
const pool = `apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: llama, namespace: models}
spec:
  selector: {matchLabels: {app: llama}}
  targetPorts: [{number: 1}]
  endpointPickerRef: {name: picker, port: {number: 9002}}
---
apiVersion: v1
kind: Pod
metadata: {name: llama-0, namespace: models, labels: {app: llama}}
spec: {containers: [{name: server, image: server}]}
status:
  podIP: 127.0.0.9
  conditions: [{type: Ready, status: "True"}]
`

// log is what a command writes to standard error.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// line is a line of the log that has this message, nil when there is none yet.
func (l *log) line(message string) map[string]any {
	for text := range strings.Lines(l.String()) {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == message {
			return line
		}
	}
	return nil
}

// picker is a running `controlplane epp`.
type picker struct {
	t               *testing.T
	log             *log
	extProc, health string
}

// noLeaks checks, when all else of the test has ended, that no goroutine is left.
func noLeaks(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
}

// startEPP runs the command on free ports of loopback, with a log in JSON, until the end of the test.
func startEPP(t *testing.T, args ...string) *picker {
	t.Helper()
	p := &picker{t: t, log: &log{}}
	root := New(Options{})
	root.SetArgs(append([]string{"--grpc-port", "0", "--grpc-health-port", "0", "--metrics-port", "0",
		"--zap-encoder", "json", "--drain-timeout", "1ms"}, args...))
	root.SetErr(p.log)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the picker ended with %v", err)
		}
	})
	p.eventually("the picker serves", func() bool { return p.log.line("picking") != nil })
	line := p.log.line("picking")
	p.extProc, p.health = line["ext_proc"].(string), line["health"].(string)
	if line["level"] != "info" || line["ts"] == nil {
		t.Errorf("log line %v", line)
	}
	return p
}

func (p *picker) eventually(what string, holds func() bool) {
	p.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-deadline:
			p.t.Fatalf("not within %s: %s; log:\n%s", patience, what, p.log)
		case <-tick.C:
		}
	}
}

func (p *picker) dial(address string, security credentials.TransportCredentials) *grpc.ClientConn {
	p.t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(security))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	return conn
}

// unverified is TLS as proxies speak it to pickers.
func unverified() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
}

// ask sends a request without a body and returns where it goes.
func (p *picker) ask(conn *grpc.ClientConn) (string, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	stream, err := extprocv3.NewExternalProcessorClient(conn).Process(ctx)
	if err != nil {
		return "", err
	}
	if err := stream.Send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{
		RequestHeaders: &extprocv3.HttpHeaders{EndOfStream: true, Headers: &corev3.HeaderMap{}}}}); err != nil {
		return "", err
	}
	response, err := stream.Recv()
	if err != nil {
		return "", err
	}
	for _, option := range response.GetRequestHeaders().GetResponse().GetHeaderMutation().GetSetHeaders() {
		if option.GetHeader().GetKey() == "x-gateway-destination-endpoint" {
			return string(option.GetHeader().GetRawValue()), nil
		}
	}
	return "", nil
}

func (p *picker) healthOf(conn *grpc.ClientConn, service string) string {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	response, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{Service: service})
	if err != nil {
		return err.Error()
	}
	return response.GetStatus().String()
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEPPServesTLSUnlessToldOtherwise(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "pool.yaml"), pool)

	secure := startEPP(t, "-f", dir)
	conn := secure.dial(secure.extProc, unverified())
	secure.eventually("ready", func() bool { return secure.healthOf(conn, "readiness") == "SERVING" })
	if at, err := secure.ask(conn); err != nil || at != "127.0.0.9:1" {
		t.Errorf("over TLS: %q, %v", at, err)
	}
	if got := protocolOf(t, secure.extProc); got != "h2" {
		t.Errorf("ALPN %q, want h2", got)
	}
	if at, err := secure.ask(secure.dial(secure.extProc, insecure.NewCredentials())); err == nil {
		t.Errorf("a plain client was answered %q", at)
	}
	if got := secure.healthOf(secure.dial(secure.health, insecure.NewCredentials()), ""); got != "SERVING" {
		t.Errorf("health on its own port, without TLS: %s", got)
	}
	if host, _, _ := net.SplitHostPort(secure.extProc); host != "127.0.0.1" {
		t.Errorf("with -f it listens on %s", host)
	}

	plain := startEPP(t, "-f", dir, "--secure-serving=false", "--health-checking=false")
	conn = plain.dial(plain.extProc, insecure.NewCredentials())
	onItsOwn := plain.dial(plain.health, insecure.NewCredentials())
	plain.eventually("ready", func() bool { return plain.healthOf(onItsOwn, "readiness") == "SERVING" })
	if at, err := plain.ask(conn); err != nil || at != "127.0.0.9:1" {
		t.Errorf("without TLS: %q, %v", at, err)
	}
	if got := plain.healthOf(conn, ""); !strings.Contains(got, "Unimplemented") {
		t.Errorf("with --health-checking=false the port of ext_proc says %s", got)
	}
}

func protocolOf(t *testing.T, address string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().NegotiatedProtocol
}

func TestEPPShowsTheCertificateGiven(t *testing.T) {
	noLeaks(t)
	manifests, certs := t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(manifests, "pool.yaml"), pool)
	first := writeCertificate(t, certs)
	p := startEPP(t, "-f", manifests, "--cert-path", certs)
	if !bytes.Equal(shown(t, p.extProc), first) {
		t.Error("the certificate shown is not the one in the file")
	}
	second := writeCertificate(t, certs)
	p.eventually("the new certificate is shown", func() bool { return bytes.Equal(shown(t, p.extProc), second) })

	fixed := startEPP(t, "-f", manifests, "--cert-path", certs, "--enable-cert-reload=false")
	third := writeCertificate(t, certs)
	p.eventually("the one that reloads has a newer certificate", func() bool { return bytes.Equal(shown(t, p.extProc), third) })
	if !bytes.Equal(shown(t, fixed.extProc), second) {
		t.Error("the certificate changed in spite of --enable-cert-reload=false")
	}
}

// shown is the certificate that a server shows.
func shown(t *testing.T, address string) []byte {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Raw
}

// writeCertificate puts a new certificate into a folder and returns it.
func writeCertificate(t *testing.T, dir string) []byte {
	t.Helper()
	made, err := certificate.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "tls.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	writeFile(t, filepath.Join(dir, "tls.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]})))
	return made.Certificate[0]
}

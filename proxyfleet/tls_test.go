package proxyfleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/switchyard/switchyard/internal/identity"
	"github.com/switchyard/switchyard/internal/source"
)

const serverName = "localhost" // a name that every machine knows

// tlsBed is a control plane that speaks mutual TLS and one Envoy that connects to it.
type tlsBed struct {
	t        *testing.T
	server   *identity.CA
	port     uint16
	dir      string // what a kubelet would mount as the fleet's Secret
	versions int

	mu      sync.Mutex
	streams []*x509.Certificate // of the proxy, by stream
	tls     []uint16            // version of TLS, by stream
	failed  int                 // handshakes that failed
	last    net.Conn            // the proxy's last connection
}

func newTLSBed(t *testing.T, serverNames ...string) *tlsBed {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	b := &tlsBed{t: t, server: newCA(t), dir: t.TempDir()}
	pair, err := b.server.IssueServer(serverNames, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	creds := identity.ServerCredentials(func() (*tls.Certificate, *x509.CertPool, error) { return &cert, b.server.Pool(), nil })
	server := grpc.NewServer(grpc.Creds(counting{creds, b}))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, b)
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	b.port = netip.MustParseAddrPort(l.Addr().String()).Port()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Serve(l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { server.Stop(); wg.Wait() })
	return b
}

// counting counts handshakes that fail.
type counting struct {
	credentials.TransportCredentials
	b *tlsBed
}

func (c counting) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	out, info, err := c.TransportCredentials.ServerHandshake(conn)
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if err != nil {
		c.b.failed++
	}
	c.b.last = conn
	return out, info, err
}

// DeltaAggregatedResources takes note of who connects.
func (b *tlsBed) DeltaAggregatedResources(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	p, _ := peer.FromContext(s.Context())
	info := p.AuthInfo.(credentials.TLSInfo)
	b.mu.Lock()
	b.streams = append(b.streams, info.State.PeerCertificates[0])
	b.tls = append(b.tls, info.State.Version)
	b.mu.Unlock()
	<-s.Context().Done()
	return s.Context().Err()
}

func (b *tlsBed) StreamAggregatedResources(discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return status.Error(codes.Unimplemented, "delta only")
}

func (b *tlsBed) seen() []*x509.Certificate {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*x509.Certificate(nil), b.streams...)
}

func (b *tlsBed) failures() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed
}

func newCA(t *testing.T) *identity.CA {
	t.Helper()
	ca, err := identity.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *identity.CA) identity.Pair {
	t.Helper()
	pair, err := ca.IssueFleet(source.Key{Namespace: "team", Name: "gw"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// mount puts files into the folder as the kubelet does: a new folder beside, and one link that is moved.
func (b *tlsBed) mount(dir string, files map[string]string) {
	b.t.Helper()
	b.versions++
	data := fmt.Sprintf("..version-%d", b.versions)
	if err := os.MkdirAll(filepath.Join(dir, data), 0o755); err != nil {
		b.t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, data, name), []byte(content), 0o600); err != nil {
			b.t.Fatal(err)
		}
		link := filepath.Join(dir, name)
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.Symlink(filepath.Join("..data", name), link); err != nil {
			b.t.Fatal(err)
		}
	}
	next := filepath.Join(dir, "..data_tmp")
	if err := os.Symlink(data, next); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(dir, "..data")); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tlsBed) mountIdentity(pair identity.Pair, trusts *identity.CA) {
	b.mount(b.dir, map[string]string{
		CertificateFile: string(pair.Certificate), KeyFile: string(pair.Key), CAFile: string(trusts.Bundle()),
	})
}

// start runs an Envoy whose node comes from its arguments, and gives the folder of its bootstrap.
func (b *tlsBed) start() {
	b.t.Helper()
	envoy, err := FindEnvoy(context.Background(), os.Getenv("ENVOY"))
	if err != nil {
		b.t.Fatal(err)
	}
	config := b.t.TempDir()
	o := BootstrapOptions{
		View: "team/gw", Admin: netip.MustParseAddrPort("127.0.0.1:0"), XDSHost: serverName, XDSPort: b.port,
		TLS: TLS{Identity: b.dir, SDS: config, ServerName: serverName},
	}
	files, err := o.TLS.SDSFiles()
	if err != nil {
		b.t.Fatal(err)
	}
	_, text := decode(b.t, o)
	files["bootstrap.json"] = string(text)
	b.mount(config, files)
	cmd := exec.Command(envoy, "-c", filepath.Join(config, "bootstrap.json"), "--service-node", "pod-1",
		"--disable-hot-restart", "--concurrency", "1", "--log-level", "warning")
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_ = cmd.Process.Kill() // an error means that it has ended
		_ = cmd.Wait()
		if b.t.Failed() {
			b.t.Log(log.String())
		}
	})
}

// reconnect breaks the connection, so that the proxy makes another.
func (b *tlsBed) reconnect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.last.Close() // an error means that it is broken already
}

func (b *tlsBed) eventually(what string, holds func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			b.t.Fatalf("not within 20 s: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// A certificate that was replaced on disk is shown at the next connection, without a restart.
func TestRotatedCertificateIsUsed(t *testing.T) {
	b := newTLSBed(t, serverName)
	first, second := issue(t, b.server), issue(t, b.server)
	b.mountIdentity(first, b.server)
	b.start()
	b.eventually("the proxy connects", func() bool { return len(b.seen()) > 0 })
	b.mu.Lock()
	version := b.tls[0]
	b.mu.Unlock()
	if version != tls.VersionTLS13 {
		t.Errorf("the connection is %s, want TLS 1.3", tls.VersionName(version))
	}
	b.mountIdentity(second, b.server)
	want, broken := serial(t, second), 0
	b.eventually("the new certificate is shown", func() bool {
		seen := b.seen()
		if len(seen) > broken { // Envoy may notice the new files only after it has connected again
			broken = len(seen)
			b.reconnect()
		}
		return seen[len(seen)-1].SerialNumber.String() == want
	})
	if serial(t, first) != b.seen()[0].SerialNumber.String() {
		t.Error("the first connection showed another certificate")
	}
}

func serial(t *testing.T, p identity.Pair) string {
	t.Helper()
	pair, err := tls.X509KeyPair(p.Certificate, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf.SerialNumber.String()
}

// Neither side talks to somebody whose certificate another CA has signed, nor the proxy to another server.
func TestStrangersAreRefused(t *testing.T) {
	stranger := newCA(t)
	for name, c := range map[string]struct {
		serverName string
		mount      func(*tlsBed)
	}{
		"the proxy trusts another CA":          {serverName, func(b *tlsBed) { b.mountIdentity(issue(t, b.server), stranger) }},
		"the proxy's is signed by another CA":  {serverName, func(b *tlsBed) { b.mountIdentity(issue(t, stranger), b.server) }},
		"the server has another name":          {"elsewhere", func(b *tlsBed) { b.mountIdentity(issue(t, b.server), b.server) }},
		"nothing wrong: the test itself works": {serverName, func(b *tlsBed) { b.mountIdentity(issue(t, b.server), b.server) }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTLSBed(t, c.serverName)
			b.t = t
			c.mount(b)
			b.start()
			if strings.HasPrefix(name, "nothing wrong") {
				b.eventually("the proxy connects", func() bool { return len(b.seen()) > 0 })
				return
			}
			b.eventually("handshakes fail", func() bool { return b.failures() > 0 })
			if n := len(b.seen()); n > 0 {
				t.Errorf("%d streams were opened", n)
			}
		})
	}
}

func TestControlPlaneByName(t *testing.T) {
	o := options
	o.Node, o.XDS, o.XDSHost, o.XDSPort = "", netip.AddrPort{}, "switchyard.example.svc", 18000
	b, text := decode(t, o)
	if strings.Contains(string(text), `"id"`) {
		t.Errorf("the node's id is in a file for a whole fleet: %s", text)
	}
	c := b.GetStaticResources().GetClusters()[0]
	address := c.GetLoadAssignment().GetEndpoints()[0].GetLbEndpoints()[0].GetEndpoint().GetAddress().GetSocketAddress()
	if c.GetClusterType().GetName() != "envoy.cluster.dns" || address.GetAddress() != "switchyard.example.svc" || address.GetPortValue() != 18000 {
		t.Errorf("the control plane is at %v by %s", address, c.GetClusterType().GetName())
	}
	for name, change := range map[string]func(*BootstrapOptions){
		"neither":       func(o *BootstrapOptions) { o.XDS = netip.AddrPort{} },
		"both":          func(o *BootstrapOptions) { o.XDSHost, o.XDSPort = "a", 1 },
		"no port":       func(o *BootstrapOptions) { o.XDS, o.XDSHost = netip.AddrPort{}, "a" },
		"half of a TLS": func(o *BootstrapOptions) { o.TLS.ServerName = "a" },
	} {
		o := options
		change(&o)
		if _, err := Bootstrap(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/switchyard/switchyard/proxyfleet"
)

const view = "default/gw"

// asControlPlane makes the test binary a program that starts a fleet and waits to be killed.
const asControlPlane = "FLEET_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asControlPlane); dir != "" {
		runUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

// bed is a backend, a control plane that sends every request to it, and a fleet between them.
type bed struct {
	t       *testing.T
	fleet   *Fleet
	port    int // of the fleet's listener
	backend *httptest.Server
	serve   http.HandlerFunc // answers of the backend
	mu      sync.Mutex
	lines   map[string]int // access log lines by proxy
}

func newBed(t *testing.T, proxies int, drain time.Duration) *bed {
	t.Helper()
	b := &bed{t: t, lines: map[string]int{}}
	b.backend = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		serve := b.serve
		b.mu.Unlock()
		if serve != nil {
			serve(w, r)
		}
	}))
	t.Cleanup(b.backend.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	b.fleet = b.newFleet(envoy(t), b.startControlPlane(), drain)
	for range proxies {
		if _, err := b.fleet.Add(); err != nil {
			t.Fatal(err)
		}
	}
	b.waitReady()
	return b
}

func envoy(t *testing.T) string {
	t.Helper()
	path, err := proxyfleet.FindEnvoy(context.Background(), os.Getenv("ENVOY"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (b *bed) newFleet(envoy string, xds netip.AddrPort, drain time.Duration) *Fleet {
	b.t.Helper()
	dir, err := os.MkdirTemp("", "fleet-") // a short path: Unix sockets live there
	if err != nil {
		b.t.Fatal(err)
	}
	fleet, err := New(Options{
		Envoy: envoy, View: view, XDS: xds, Dir: dir, DrainTimeout: drain, Log: slog.New(slog.DiscardHandler),
		AccessLog: func(proxy string, line []byte) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if strings.HasPrefix(string(line), "served ") {
				b.lines[proxy]++
			}
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		fleet.Stop()
		if err := os.RemoveAll(dir); err != nil {
			b.t.Error(err)
		}
	})
	return fleet
}

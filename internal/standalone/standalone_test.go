package standalone

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/resource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// read unpacks a resource of the view.
func (c *compiled) read(kind, name string, into proto.Message) {
	c.t.Helper()
	for _, v := range c.output.Views {
		r := v.Of(kind)[name]
		if r == nil {
			c.t.Fatalf("the view has no %s %s", kind, name)
		}
		if err := r.Body.UnmarshalTo(into); err != nil {
			c.t.Fatal(err)
		}
	}
}

// running is a Plane that serves, until the end of the test.
type running struct {
	*Plane
	t    *testing.T
	conn *grpc.ClientConn
	end  func()
}

func run(t *testing.T, intent Intent) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &running{Plane: New(Options{Intent: intent, Log: slog.New(slog.DiscardHandler)}), t: t}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, l); close(ended) }()
	p.end = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	}
	t.Cleanup(p.end)
	if p.conn, err = grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.conn.Close() })
	return p
}

// clusters asks as a proxy of the view does and gives the stream, on which nothing was received yet.
func (p *running) clusters(ctx context.Context) discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient {
	p.t.Helper()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(p.conn).DeltaAggregatedResources(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{
		Node: &corev3.Node{Id: "proxy", Cluster: view.String()}, TypeUrl: resource.ClusterType,
	}); err != nil {
		p.t.Fatal(err)
	}
	return stream
}

func (p *running) eventually(what string, holds func() bool) {
	p.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !holds(); {
		select {
		case <-deadline:
			p.t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

func TestProxiesWaitForThePool(t *testing.T) {
	p := run(t, intentOf(func(*Intent) {}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream := p.clusters(ctx)
	p.Follow(&source.Objects{})
	if _, changed := p.pipeline.Latest(); p.store.Latest().Objects != nil || changed == nil || p.Ready() {
		t.Error("there is a view before there is a pool")
	}
	p.Follow(&source.Objects{InferencePools: source.NewSet(newPool("llama"))})
	got, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, r := range got.GetResources() {
		names[r.GetName()] = true
	}
	if !names["pool/models/llm"] || !names["epp"] || len(names) != 2 {
		t.Errorf("clusters %v", names)
	}
	p.eventually("it is ready", p.Ready)
	// A pool that was there and is gone is an answer, too.
	p.Follow(&source.Objects{})
	p.eventually("the view has no pool", func() bool {
		result, _ := p.pipeline.Latest()
		return p.Ready() && len(result.Output.Gateways[0].Backends) == 0
	})
	p.end()
	for err = nil; err == nil; {
		_, err = stream.Recv()
	}
	if ctx.Err() != nil {
		t.Error("the stream did not end with the plane")
	}
}

func TestEndpointsAreFollowed(t *testing.T) {
	p := run(t, intentOf(func(i *Intent) { i.Made = &MadePool{} }))
	for _, want := range []string{"10.0.0.1:8000", "10.0.0.2:9000"} {
		p.FollowEndpoints([]datalayer.Spec{{Name: "a", Address: want}})
		p.eventually("proxies know "+want, func() bool {
			result, _ := p.pipeline.Latest()
			if result == nil {
				return false
			}
			for _, b := range result.Output.Gateways[0].Backends {
				return len(b.Endpoints) == 1 && b.Endpoints[0].String() == want
			}
			return false
		})
	}
}

// A picker's pod that ends leaves its proxies to another one that is ready, and to nobody before.
func TestProxiesAreHandedOver(t *testing.T) {
	pods := labels.SelectorFromSet(labels.Set{"app": "epp"})
	p := run(t, intentOf(func(i *Intent) {
		i.Pickers, i.PickerPods = nil, &PickerPods{Namespace: "models", Labels: pods, Port: 9002}
	}))
	follow := func(pickers ...*corev1.Pod) {
		p.Follow(&source.Objects{InferencePools: source.NewSet(newPool("llama")), Pods: source.NewSet(pickers...)})
	}
	picker := labels.Set{"app": "epp"}
	self, other, server := newPod("epp-0", "10.0.1.1", 2, picker), newPod("epp-1", "10.0.1.2", 1, picker), newPod("llama-0", "10.0.0.1", 1, labels.Set{"app": "llama"})
	follow(self, unready(other.DeepCopy()), server)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream := p.clusters(ctx)
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	handed := make(chan bool, 1)
	go func() { handed <- p.HandOver(ctx, "epp-0") }()
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := stream.Recv(); err != nil {
				ended <- err
				return
			}
		}
	}()
	select {
	case <-handed:
		t.Fatal("handed over to a pod that is not ready, to a model server or to itself")
	case err := <-ended:
		t.Fatalf("the stream ended before there was another picker: %v", err)
	case <-time.After(5 * lookAgain):
	}
	follow(self, other, server)
	if err := <-ended; ctx.Err() != nil || !<-handed {
		t.Fatalf("not handed over: %v", err)
	}
	// Nobody comes back here, and the rest goes on: what is served until the end of the drain follows the objects.
	again, err := discoveryv3.NewAggregatedDiscoveryServiceClient(p.conn).DeltaAggregatedResources(ctx)
	if err == nil {
		_, err = again.Recv()
	}
	if status.Code(err) != codes.Unavailable || !p.Ready() {
		t.Errorf("a new stream got %v, ready %t", err, p.Ready())
	}
}

func TestNobodyElseServesTheProxiesBesideAPicker(t *testing.T) {
	p := run(t, intentOf(func(*Intent) {}))
	p.Follow(&source.Objects{InferencePools: source.NewSet(newPool("llama"))})
	if p.HandOver(t.Context(), "epp-0") {
		t.Error("handed over without pods of pickers")
	}
}

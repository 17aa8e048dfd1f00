package xds

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/switchyard/switchyard/translate/resource"
)

// manyBackends is a view of n clusters, each with endpoints, and n/100 route tables of 100 clusters each.
func manyBackends(n int) []*resource.Resource {
	var list []*resource.Resource
	tables := max(1, n/100)
	refs := make([][]string, tables)
	for i := range n {
		name := fmt.Sprintf("default/backend-%05d:8080", i)
		list = append(list, backend(name, 1)...)
		refs[i%tables] = append(refs[i%tables], name)
	}
	for i, to := range refs {
		name := "table-" + strconv.Itoa(i)
		list = append(list, listener(name, "routes="+name, 1), routes(name, 1, to...))
	}
	return list
}

// local is a proxy without a network: it acknowledges what its connection hands out.
type local struct {
	c     *conn
	out   chan cache.DeltaResponse
	nonce int
}

func (s *Server) attach(node string, initial map[string]map[string]string) *local {
	l := &local{c: newConn(s, context.Background()), out: make(chan cache.DeltaResponse, 20)}
	for _, typ := range kindURLs {
		req := &discovery.DeltaDiscoveryRequest{
			Node: &core.Node{Id: node, Cluster: testView}, TypeUrl: typ, InitialResourceVersions: initial[typ],
		}
		if typ != resource.ClusterType && typ != resource.ListenerType {
			for name := range initial[typ] {
				req.ResourceNamesSubscribe = append(req.ResourceNamesSubscribe, name)
			}
		}
		l.request(req)
	}
	return l
}

func (l *local) request(req *discovery.DeltaDiscoveryRequest) {
	if err := l.c.OnStreamDeltaRequest(1, req); err != nil {
		panic(err)
	}
	if _, err := l.c.CreateDeltaWatch(req, nil, l.out); err != nil {
		panic(err)
	}
}

// drain acknowledges everything and returns how many resources were sent.
func (l *local) drain() (resources int) {
	for {
		select {
		case resp := <-l.out:
			msg, _ := resp.GetDeltaDiscoveryResponse()
			l.nonce++
			msg.Nonce = strconv.Itoa(l.nonce)
			resources += len(msg.Resources)
			l.c.OnStreamDeltaResponse(1, nil, msg)
			l.request(&discovery.DeltaDiscoveryRequest{TypeUrl: msg.TypeUrl, ResponseNonce: msg.Nonce})
		default:
			return resources
		}
	}
}

func versionsIn(list []*resource.Resource) map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, r := range list {
		if out[r.Type] == nil {
			out[r.Type] = map[string]string{}
		}
		out[r.Type][r.Name] = r.Version
	}
	return out
}

// One route table of many changes. The floor of SetView without proxies is one pass over the view to find it.
func BenchmarkSetViewOneRouteTableChanged(b *testing.B) {
	for _, clusters := range []int{100, 10_000} {
		for _, proxies := range []int{0, 1, 100} {
			b.Run(fmt.Sprintf("clusters=%d/proxies=%d", clusters, proxies), func(b *testing.B) {
				s := New(Options{Logger: quietLogger()})
				list := manyBackends(clusters)
				var changed *resource.Resource
				for _, r := range list {
					if r.Type == resource.RouteType && r.Name == "table-0" {
						changed = routes(r.Name, 2, refNames(r)...)
					}
				}
				views := []*resource.View{viewOf(list...), viewOf(replace(list, changed)...)}
				s.SetView(views[0])
				initial := versionsIn(list)
				conns := make([]*local, proxies)
				for i := range conns {
					conns[i] = s.attach(fmt.Sprint("p", i), initial)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					s.SetView(views[(i+1)%2])
					for _, c := range conns {
						if n := c.drain(); n != 1 {
							b.Fatalf("%d resources sent, want 1", n)
						}
					}
				}
			})
		}
	}
}

func refNames(r *resource.Resource) (names []string) {
	for _, ref := range r.Refs {
		names = append(names, ref.Name)
	}
	return names
}

// idleServerEnv makes the test binary a server with a view of that many clusters, or the floor. It prints its address,
// and for each line that it reads the proxies that are ready and the bytes of heap and stacks in use.
const idleServerEnv = "SWITCHYARD_XDS_IDLE_SERVER"

func serveIdle(clusters string) {
	g := GRPCServer()
	var ready func() int // proxies that have all they want
	if n, err := strconv.Atoi(clusters); err == nil {
		s := New(Options{Logger: quietLogger()})
		s.SetView(viewOf(manyBackends(n)...))
		s.Register(g)
		ready = func() (synced int) {
			for _, p := range s.State("", "").Proxies {
				if p.Synced {
					synced++
				}
			}
			return synced
		}
	} else {
		f := &floorServer{}
		discovery.RegisterAggregatedDiscoveryServiceServer(g, f)
		ready = func() int { return int(f.streams.Load()) }
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { _ = g.Serve(lis) }()
	fmt.Println(lis.Addr())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		n := ready()
		for range 8 { // each halves the stacks that the connecting has grown
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Println(n, m.HeapAlloc+m.StackInuse)
	}
}

// floorServer reads requests and drops them: the least that a stream can cost.
type floorServer struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	streams atomic.Int64
}

func (f *floorServer) DeltaAggregatedResources(stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	for i := 0; ; i++ {
		if i == int(kindCount) {
			f.streams.Add(1)
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
}

// What an idle, configured proxy costs in the memory of the server: gRPC, go-control-plane and this package together.
// The server is a process of its own, so that the clients do not count.
func BenchmarkIdleProxy(b *testing.B) {
	b.Run("floor", func(b *testing.B) {
		for range b.N {
			b.ReportMetric(measureIdle(b, "floor", 10, 200)/1024, "KiB/proxy")
		}
	})
	for _, clusters := range []int{10, 1_000} {
		b.Run(fmt.Sprintf("clusters=%d", clusters), func(b *testing.B) {
			for range b.N {
				b.ReportMetric(measureIdle(b, strconv.Itoa(clusters), clusters, 200)/1024, "KiB/proxy")
			}
		})
	}
}

// measureIdle connects proxies that have everything to a server process and gives the bytes each of them costs it.
func measureIdle(b *testing.B, server string, clusters, proxies int) float64 {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), idleServerEnv+"="+server)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		stdin.Close()
		_ = cmd.Wait()
	}()
	lines := bufio.NewReader(stdout)
	addr, err := lines.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	measure := func() (synced int, bytes float64) {
		fmt.Fprintln(stdin)
		line, err := lines.ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		if _, err := fmt.Sscan(line, &synced, &bytes); err != nil {
			b.Fatal(err)
		}
		return synced, bytes
	}
	versions := versionsIn(manyBackends(clusters))
	connectIdle(b, strings.TrimSpace(addr), "warm-up", versions)
	eventually(b, "the first proxy", func() bool { n, _ := measure(); return n == 1 })
	_, before := measure()
	for i := range proxies {
		connectIdle(b, strings.TrimSpace(addr), fmt.Sprint("p", i), versions)
	}
	var after float64
	eventually(b, "all proxies", func() bool {
		var n int
		n, after = measure()
		return n == proxies+1
	})
	return (after - before) / float64(proxies)
}

// connectIdle opens the stream of a proxy that has everything.
func connectIdle(b *testing.B, addr, node string, versions map[string]map[string]string) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithReadBufferSize(1<<10), grpc.WithWriteBufferSize(1<<10))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(func() { cancel(); conn.Close() })
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		b.Fatal(err)
	}
	for _, typ := range kindURLs {
		req := &discovery.DeltaDiscoveryRequest{
			Node: &core.Node{Id: node, Cluster: testView}, TypeUrl: typ, InitialResourceVersions: versions[typ],
		}
		if typ != resource.ClusterType && typ != resource.ListenerType {
			for name := range versions[typ] {
				req.ResourceNamesSubscribe = append(req.ResourceNamesSubscribe, name)
			}
		}
		if err := stream.Send(req); err != nil && err != io.EOF {
			b.Fatal(err)
		}
	}
}

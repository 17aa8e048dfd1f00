package xds

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/resource"
)

func TestMain(m *testing.M) {
	if n := os.Getenv(idleServerEnv); n != "" {
		serveIdle(n) // this process is the server of BenchmarkIdleProxy
		return
	}
	goleak.VerifyTestMain(m)
}

func quietLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// fakeClock stands still until advance; timers run in the goroutine that advances it.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*fakeTimer]struct{}
}

type fakeTimer struct {
	clock *fakeClock
	at    time.Time
	f     func()
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) AfterFunc(d time.Duration, f func()) Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timers == nil {
		c.timers = map[*fakeTimer]struct{}{}
	}
	t := &fakeTimer{c, c.now.Add(d), f}
	c.timers[t] = struct{}{}
	return t
}

func (t *fakeTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	_, ok := t.clock.timers[t]
	delete(t.clock.timers, t)
	return ok
}

// advance moves the clock, stopping at each timer on the way.
func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(d)
	for {
		due := slices.SortedFunc(maps.Keys(c.timers), func(a, b *fakeTimer) int { return a.at.Compare(b.at) })
		if len(due) == 0 || due[0].at.After(end) {
			break
		}
		t := due[0]
		delete(c.timers, t)
		c.now = t.at
		c.mu.Unlock()
		t.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}

func (c *fakeClock) pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers)
}

// viewOf makes a view of resources.
func viewOf(rs ...*resource.Resource) *resource.View { return namedView(testView, rs...) }

func namedView(name string, rs ...*resource.Resource) *resource.View {
	v := &resource.View{Name: name, Resources: map[resource.ID]*resource.Resource{}}
	for _, r := range rs {
		v.Resources[r.ID] = r
	}
	return v
}

// all joins the results of the builders below.
func all(lists ...[]*resource.Resource) []*resource.Resource { return slices.Concat(lists...) }

func build(typ, name string, msg proto.Message, refs ...resource.ID) *resource.Resource {
	r, err := resource.New(resource.ID{Type: typ, Name: name}, msg, refs,
		[]source.Ref{{Kind: "HTTPRoute", Namespace: "default", Name: "of-" + name}})
	if err != nil {
		panic(err)
	}
	return r
}

func cid(name string) resource.ID { return resource.ID{Type: resource.ClusterType, Name: name} }

// cluster makes an EDS cluster; revision changes its bytes.
func cluster(name string, revision int) *resource.Resource {
	return build(resource.ClusterType, name, &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		ConnectTimeout:       durationpb.New(time.Duration(revision) * time.Millisecond),
	}, resource.ID{Type: resource.EndpointType, Name: name})
}

// checkedCluster is a cluster with an active health check.
func checkedCluster(name string) *resource.Resource {
	return build(resource.ClusterType, name, &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		HealthChecks:         []*corev3.HealthCheck{{Timeout: durationpb.New(time.Second)}},
	}, resource.ID{Type: resource.EndpointType, Name: name})
}

func endpoints(name string, revision int) *resource.Resource {
	return build(resource.EndpointType, name, &endpointv3.ClusterLoadAssignment{
		ClusterName: name,
		Policy:      &endpointv3.ClusterLoadAssignment_Policy{EndpointStaleAfter: durationpb.New(time.Duration(revision))},
	})
}

// backend is a cluster with its endpoints.
func backend(name string, revision int) []*resource.Resource {
	return []*resource.Resource{cluster(name, revision), endpoints(name, revision)}
}

// listener refers to route tables ("routes=web") and secrets ("secret=cert").
func listener(name, refs string, revision int) *resource.Resource {
	l := &listenerv3.Listener{Name: name, StatPrefix: refs, ListenerFiltersTimeout: durationpb.New(time.Duration(revision))}
	return build(resource.ListenerType, name, l, refsOf(refs)...)
}

func refsOf(text string) (out []resource.ID) {
	for _, ref := range strings.Fields(text) {
		kind, name, _ := strings.Cut(ref, "=")
		typ := resource.RouteType
		if kind == "secret" {
			typ = resource.SecretType
		}
		out = append(out, resource.ID{Type: typ, Name: name})
	}
	return out
}

// routes is a route table that refers to clusters.
func routes(name string, revision int, clusters ...string) *resource.Resource {
	var refs []resource.ID
	vh := &routev3.VirtualHost{Name: name, Domains: []string{"*"}, RequestHeadersToRemove: []string{fmt.Sprint(revision)}}
	for _, c := range clusters {
		refs = append(refs, cid(c))
		vh.Routes = append(vh.Routes, &routev3.Route{Name: c})
	}
	rc := &routev3.RouteConfiguration{Name: name, VirtualHosts: []*routev3.VirtualHost{vh}}
	return build(resource.RouteType, name, rc, refs...)
}

func secret(name string, revision int) *resource.Resource {
	value := &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: fmt.Sprint(revision)}}
	return build(resource.SecretType, name, &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_GenericSecret{
		GenericSecret: &tlsv3.GenericSecret{Secret: value},
	}})
}

// base is what most tests begin with: one listener, one route table to one backend.
func base(more ...[]*resource.Resource) []*resource.Resource {
	return all(backend("a", 1), []*resource.Resource{listener("web", "routes=web", 1), routes("web", 1, "a")}, all(more...))
}

// replace exchanges resources of a list by name and type, or adds them.
func replace(list []*resource.Resource, with ...*resource.Resource) []*resource.Resource {
	out := slices.Clone(list)
	for _, w := range with {
		out = slices.DeleteFunc(out, func(r *resource.Resource) bool { return r.ID == w.ID })
		out = append(out, w)
	}
	return out
}

func without(list []*resource.Resource, ids ...resource.ID) []*resource.Resource {
	return slices.DeleteFunc(slices.Clone(list), func(r *resource.Resource) bool { return slices.Contains(ids, r.ID) })
}

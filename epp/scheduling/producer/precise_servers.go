package producer

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/kvevents"
	"github.com/switchyard/switchyard/epp/kvindex"
)

// lookEvery is how often the pools are looked at for servers that came or went, and assumptions for those that are over.
const lookEvery = 250 * time.Millisecond

// identity is what makes two endpoints the same process.
type identity struct{ namespace, name, address string }

func identityOf(e *datalayer.Endpoint) identity { return identity{e.Namespace, e.Name, e.Address} }

// server is a model server that is followed, or would be.
type server struct {
	held       *kvindex.Server
	subscriber *kvevents.Subscriber // nil: it is heard on the common endpoint only
	stop       func()               // ends the subscriber and waits; nil: it does not run
}

// servers are those of all pools. One goroutine at a time runs them; what requests read changes as a whole.
type servers struct {
	settings preciseSettings
	selector labels.Selector
	index    *kvindex.Index
	shared   sharedStore // nil: the index keeps blocks itself
	options  *kvevents.Options
	hub      *kvevents.Hub

	byID  map[identity]*server // of the goroutine that runs
	seen  map[string][]*datalayer.Endpoint
	pools atomic.Pointer[map[string]poolServers]
	pods  atomic.Pointer[map[string][]podServer]
}

// poolServers are the servers of one pool, by the ordinals that the pool has given them.
type poolServers []poolServer

type poolServer struct {
	id   identity
	held *kvindex.Server
}

// podServer is a server of a pod.
type podServer struct {
	rank int
	name string
	held *kvindex.Server
}

func newServers(settings preciseSettings) (*servers, *kvindex.Metrics, error) {
	hasher, err := kvindex.NewHasher(settings.blockTokens, settings.seed, settings.algorithm)
	if err != nil {
		return nil, nil, err
	}
	selector, err := labels.Parse(settings.selector)
	if err != nil {
		return nil, nil, err
	}
	metrics := kvindex.NewMetrics(kvevents.NewMetrics())
	s := &servers{
		settings: settings, selector: selector, byID: map[identity]*server{}, seen: map[string][]*datalayer.Endpoint{},
		options: kvevents.NewOptions(settings.topic, metrics.Events, slog.Default()),
	}
	if err := s.newIndex(hasher, metrics); err != nil {
		return nil, nil, err
	}
	if settings.endpoint != "" {
		s.hub = kvevents.NewHub(s.options, settings.endpoint, s.resolve)
	}
	return s, metrics, nil
}

// pool gives the servers of a pool.
func (s *servers) pool(key string) poolServers {
	if pools := s.pools.Load(); pools != nil {
		return (*pools)[key]
	}
	return nil
}

// find gives the server of an endpoint, nil when it is not followed (yet).
func (p poolServers) find(e *datalayer.Endpoint) *kvindex.Server {
	if int(e.Server) >= len(p) {
		return nil
	}
	// An ordinal may have gone to another endpoint since the pool was looked at.
	if at := &p[e.Server]; at.id.address == e.Address && at.id.name == e.Name && at.id.namespace == e.Namespace {
		return at.held
	}
	return nil
}

// run follows the servers until ctx ends. What is known of them stays, for who runs next.
func (s *servers) run(ctx context.Context, pools *datalayer.Pools) error {
	stopShared := s.runShared()
	defer stopShared() // last, so that what was heard is written
	ctx, cancel := context.WithCancel(ctx)
	var hub sync.WaitGroup
	var hubErr error
	if s.hub != nil {
		hub.Go(func() {
			hubErr = s.hub.Run(ctx)
			if hubErr != nil {
				cancel() // nobody would be heard
			}
		})
	}
	clear(s.seen)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		s.look(ctx, pools)
		s.index.Expire(time.Now())
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	for _, at := range s.byID {
		at.end()
	}
	cancel()
	hub.Wait()
	return hubErr
}

func (at *server) end() {
	if at.stop != nil {
		at.stop()
		at.stop = nil
	}
}

// look compares the pools with what is followed.
func (s *servers) look(ctx context.Context, pools *datalayer.Pools) {
	list := pools.List()
	if s.same(list) {
		return
	}
	clear(s.seen)
	wanted := map[identity]*datalayer.Endpoint{}
	for _, pool := range list {
		endpoints := pool.Endpoints()
		s.seen[pool.Key()] = endpoints
		for _, e := range endpoints {
			if (s.settings.namespace == "" || e.Namespace == s.settings.namespace) && s.selector.Matches(labels.Set(e.Labels)) {
				wanted[identityOf(e)] = e
			}
		}
	}
	gone := map[identity]*server{}
	for id, at := range s.byID {
		if wanted[id] == nil {
			gone[id] = at
			delete(s.byID, id)
		}
	}
	for id, e := range wanted {
		s.follow(ctx, id, e)
	}
	s.publish(wanted)
	for _, at := range gone { // only now: requests do not find them any more
		at.end()
		if at.subscriber != nil {
			at.subscriber.Forget()
		}
		if s.hub != nil {
			s.hub.Forget(at.held)
		}
		at.held.Remove()
	}
}

// same tells whether the pools have the endpoints that they had when looked at last.
func (s *servers) same(list []*datalayer.Pool) bool {
	if len(list) != len(s.seen) {
		return false
	}
	for _, pool := range list {
		before, now := s.seen[pool.Key()], pool.Endpoints()
		if before == nil || len(before) != len(now) || len(now) > 0 && &before[0] != &now[0] {
			return false
		}
	}
	return true
}

// follow has a server followed.
func (s *servers) follow(ctx context.Context, id identity, e *datalayer.Endpoint) {
	at := s.byID[id]
	if at == nil {
		held := s.index.NewServer(sharedNames(e)...)
		if held == nil {
			s.options.Logger.Warn("more model servers than the precise prefix index can have", "endpoint", id.name)
			return
		}
		at = &server{held: held}
		if host, _, err := net.SplitHostPort(e.Address); err == nil && s.settings.discover {
			at.subscriber = kvevents.NewSubscriber(s.options, id.namespace+"/"+id.name, address(host, s.settings.port, e.Rank),
				address(host, s.settings.replayPort, e.Rank), held)
		}
		s.byID[id] = at
	}
	if at.stop != nil || at.subscriber == nil {
		return
	}
	running, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		at.subscriber.Run(running)
	}()
	at.stop = func() {
		cancel()
		<-done
	}
}

// address is where an engine of a rank listens; empty without a port.
func address(host string, port, rank int) string {
	if port == 0 {
		return ""
	}
	return net.JoinHostPort(host, strconv.Itoa(port+rank))
}

// publish shows the servers to requests and to the hub.
func (s *servers) publish(wanted map[identity]*datalayer.Endpoint) {
	pools := make(map[string]poolServers, len(s.seen))
	for key, endpoints := range s.seen {
		var list poolServers
		for _, e := range endpoints {
			if at := s.byID[identityOf(e)]; at != nil {
				for len(list) <= int(e.Server) {
					list = append(list, poolServer{})
				}
				list[e.Server] = poolServer{identityOf(e), at.held}
			}
		}
		pools[key] = list
	}
	s.pools.Store(&pools)
	pods := map[string][]podServer{}
	for id, e := range wanted {
		at := s.byID[id]
		if at == nil {
			continue
		}
		mine := podServer{rank: e.Rank, name: id.namespace + "/" + id.name, held: at.held}
		host, _, _ := net.SplitHostPort(e.Address)
		for _, name := range []string{e.Pod, e.Namespace + "/" + e.Pod, host, e.Address} {
			if name != "" {
				pods[name] = append(pods[name], mine)
			}
		}
	}
	s.pods.Store(&pods)
}

// resolve finds the server of a topic's pod: by name, address, or address and port; of several, that of the rank. A name that
// pods of two namespaces have is nobody's.
func (s *servers) resolve(pod string, rank int) (string, kvevents.Sink, bool) {
	pods := s.pods.Load()
	if pods == nil {
		return "", nil, false
	}
	list := (*pods)[pod]
	if len(list) == 1 {
		return list[0].name, list[0].held, true
	}
	found := -1
	for i := range list {
		if list[i].rank == rank {
			if found >= 0 {
				return "", nil, false
			}
			found = i
		}
	}
	if found < 0 {
		return "", nil, false
	}
	return list[found].name, list[found].held, true
}

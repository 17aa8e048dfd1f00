package xds

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// conn is one proxy's stream. It is the cache and the callbacks of its own go-control-plane server, which calls both
// from one goroutine; views and timers come from others.
//
// What the proxy has is kept as exceptions: for a kind that the proxy has asked for, a resource that is not in
// entries is subscribed to and has exactly the version of the view. A proxy that is up to date therefore costs the
// same for ten resources as for ten thousand, and a change costs what changed.
type conn struct {
	server  *Server
	ctx     context.Context
	address string
	log     *slog.Logger

	// Set by the first request, not changed afterwards.
	id       int64
	nodeID   string
	viewName string
	since    time.Time
	state    *viewState

	// request holds the fields taken out of the request between OnStreamDeltaRequest and CreateDeltaWatch.
	request subscriptionChange

	mu       sync.Mutex
	closed   bool
	view     *generation
	live     bool // the view exists now
	compared bool // what the proxy has was compared with a view that existed
	fresh    bool // the proxy came with nothing and has not finished its first configuration
	kinds    [kindCount]kindState
	entries  map[key]*entry
	warming  map[key]time.Time // clusters and endpoints that the proxy lacks, since when
	nextTeam uint32

	out        chan cache.DeltaResponse
	open       uint8                // bit per kind: go-control-plane has a watch, so out is not closed
	queue      []*response          // not yet in out
	handed     []*response          // in out, in order
	unanswered map[string]*response // by nonce

	timer  Timer
	wakeAt time.Time
	events []func() // to run once mu is released

	received, sent int64 // requests and responses, for State
	lastMessage    time.Time
	expired        int64 // gates that ended by their deadline
}

// kindState is what a connection knows about one resource type as a whole.
type kindState struct {
	started  bool // the proxy has asked for this type
	wildcard bool
	answered bool // something was sent, if only an empty response
	acked    bool // something was acknowledged on this stream
	todo     map[string]struct{}
	flying   int    // resources and removals sent and unanswered
	nack     string // text of the last rejection, empty after a later acknowledgement
	lastNACK string // the same, but kept
	nackedAt time.Time
}

// subscriptionChange is what one request says about the proxy's interest.
type subscriptionChange struct {
	subscribe, unsubscribe []string
	initial                map[string]string
}

func newConn(s *Server, ctx context.Context) *conn {
	c := &conn{
		server:     s,
		ctx:        ctx,
		log:        s.opts.Logger,
		fresh:      true,
		entries:    map[key]*entry{},
		warming:    map[key]time.Time{},
		unanswered: map[string]*response{},
	}
	if p, ok := peer.FromContext(ctx); ok {
		c.address = p.Addr.String()
	}
	return c
}

func sortConns(list []*conn) {
	slices.SortFunc(list, func(a, b *conn) int { return cmp.Compare(a.id, b.id) })
}

// OnDeltaStreamOpen is part of the callbacks; nothing is known of the proxy yet.
func (c *conn) OnDeltaStreamOpen(context.Context, int64, string) error { return nil }

// OnDeltaStreamClosed is part of the callbacks; Server.DeltaAggregatedResources closes the connection.
func (c *conn) OnDeltaStreamClosed(int64, *core.Node) {}

// OnStreamDeltaRequest admits the proxy with its first request, and takes out of each request what this package keeps
// itself. go-control-plane would hold a copy of every name, every version and the whole node for as long as the stream
// lives: megabytes per proxy with large views.
func (c *conn) OnStreamDeltaRequest(_ int64, req *discovery.DeltaDiscoveryRequest) error {
	if c.state == nil {
		if err := c.admit(req.GetNode()); err != nil {
			return err
		}
	}
	if req.Node != nil {
		req.Node = &core.Node{Id: c.nodeID, Cluster: c.viewName}
	}
	c.request = subscriptionChange{
		subscribe:   req.ResourceNamesSubscribe,
		unsubscribe: req.ResourceNamesUnsubscribe,
		initial:     req.InitialResourceVersions,
	}
	req.ResourceNamesSubscribe, req.ResourceNamesUnsubscribe, req.InitialResourceVersions = nil, nil, nil
	return nil
}

// admit checks a proxy and joins it to its view.
func (c *conn) admit(node *core.Node) error {
	if node.GetId() == "" || node.GetCluster() == "" {
		return status.Error(codes.InvalidArgument,
			"the first request must carry node.id and node.cluster; set node.cluster to the Gateway's namespace/name")
	}
	if authorize := c.server.opts.Authorize; authorize != nil {
		if err := authorize(c.ctx, node); err != nil {
			c.log.Warn("proxy refused", "node", node.GetId(), "view", node.GetCluster(), "address", c.address, "error", err)
			return status.Errorf(codes.PermissionDenied, "node %s may not have the view %s: %v",
				node.GetId(), node.GetCluster(), err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodeID, c.viewName = node.GetId(), node.GetCluster()
	c.since = c.server.opts.Clock.Now()
	c.log = c.log.With("node", c.nodeID, "view", c.viewName)
	c.server.join(c)
	c.compared = c.live
	if !c.live {
		c.log.Warn("proxy asks for a view that does not exist; it is sent nothing until it does", "address", c.address)
	} else {
		c.log.Info("proxy connected", "address", c.address)
	}
	return nil
}

// CreateWatch refuses the state-of-the-world protocol; Server does not offer it either.
func (c *conn) CreateWatch(*cache.Request, cache.Subscription, chan cache.Response) (func(), error) {
	return nil, errors.New("the state-of-the-world protocol is not served")
}

// foreignBit stands in conn.open for the types that are not served.
const foreignBit = uint8(1) << kindCount

// CreateDeltaWatch handles one request. The channel is the same for the whole stream; responses go into it whenever
// there is something to send, several per watch if need be: the nonce says which of them an answer is for.
func (c *conn) CreateDeltaWatch(req *cache.DeltaRequest, _ cache.Subscription, out chan cache.DeltaResponse) (func(), error) {
	now := c.server.opts.Clock.Now()
	k, served := kindOf(req.GetTypeUrl())
	bit := foreignBit
	c.mu.Lock()
	c.out = out
	c.received++
	c.lastMessage = now
	if served {
		bit = 1 << k
		c.open |= bit
		c.handle(k, req, now)
	} else {
		c.open |= bit
		c.log.Debug("proxy asks for a type that is not served", "type", req.GetTypeUrl())
	}
	c.request = subscriptionChange{}
	c.unlock()
	c.server.progress.announce()
	return func() {
		c.mu.Lock()
		c.open &^= bit
		c.mu.Unlock()
	}, nil
}

// handle works off one request: an answer to a response, a change of interest, or both.
func (c *conn) handle(k kind, req *cache.DeltaRequest, now time.Time) {
	if nonce := req.GetResponseNonce(); nonce != "" {
		c.answer(nonce, req.GetErrorDetail(), now)
	}
	if c.kinds[k].started {
		c.resubscribe(k, c.request, now)
	} else {
		c.start(k, c.request, now)
	}
	c.plan(now)
}

// onChange takes over the next generation of the view. It returns what the caller has to run once it holds no lock.
func (c *conn) onChange(ch change) []func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.advance(ch)
	c.plan(ch.at)
	events := c.events
	c.events = nil
	return events
}

// pause follows the removal of the view.
func (c *conn) pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = false
	c.disarm()
}

func (c *conn) onTimer() {
	c.mu.Lock()
	defer c.unlock()
	c.timer, c.wakeAt = nil, time.Time{}
	if !c.closed {
		c.plan(c.server.opts.Clock.Now())
	}
}

// arm makes sure that plan runs again at the given time; the zero time means that nothing waits.
func (c *conn) arm(at, now time.Time) {
	if at.Equal(c.wakeAt) {
		return
	}
	c.disarm()
	if !at.IsZero() {
		c.wakeAt = at
		c.timer = c.server.opts.Clock.AfterFunc(at.Sub(now), c.onTimer)
	}
}

func (c *conn) disarm() {
	if c.timer != nil {
		c.timer.Stop()
	}
	c.timer, c.wakeAt = nil, time.Time{}
}

// close ends the connection. go-control-plane has cancelled every watch by now.
func (c *conn) close() {
	c.mu.Lock()
	c.closed = true
	c.disarm()
	joined := c.state != nil
	c.mu.Unlock()
	if !joined {
		return
	}
	c.server.leave(c)
	c.log.Info("proxy disconnected", "address", c.address)
	c.server.progress.announce()
}

// unlock releases mu and then runs what must not run under it.
func (c *conn) unlock() {
	events := c.events
	c.events = nil
	c.mu.Unlock()
	for _, f := range events {
		f()
	}
}

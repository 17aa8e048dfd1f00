package kvevents

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
)

// maxPublishers bounds the engines that are connected to a hub at once.
const maxPublishers = 1024

// Hub is one socket for all engines: one that they connect to, or one of something in between that is connected to. Whose a
// message is stands in its topic, kv@<pod>@<model>. A hub has no replay: a message that is lost clears its server. Data-parallel
// ranks number their messages each for itself; those behind one address fill one sink.
type Hub struct {
	options  *Options
	endpoint string
	resolve  func(pod string, rank int) (name string, sink Sink, ok bool)

	mu    sync.Mutex // of the feeds, and held while one of them takes a message
	feeds map[source]*feed
}

// source is one engine process: its messages have numbers of their own.
type source struct {
	sink Sink
	rank int
}

// maxRanks bounds the ranks that are told apart.
const maxRanks = 1024

// NewHub makes a hub for endpoint, tcp://host:port. It listens when the host is "*" or no particular one (0.0.0.0, ::), else
// it connects. resolve finds the server of a pod; it is called for each message and may say that it knows none.
func NewHub(options *Options, endpoint string, resolve func(pod string, rank int) (string, Sink, bool)) *Hub {
	return &Hub{options: options, endpoint: endpoint, resolve: resolve, feeds: map[source]*feed{}}
}

// ParseEndpoint takes a ZeroMQ endpoint apart. listen is set for one that engines connect to.
func ParseEndpoint(endpoint string) (address string, listen bool, err error) {
	rest, ok := strings.CutPrefix(endpoint, "tcp://")
	if !ok {
		return "", false, fmt.Errorf("%q must be tcp://host:port", endpoint)
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return "", false, fmt.Errorf("%q must be tcp://host:port: %w", endpoint, err)
	}
	if number, err := strconv.Atoi(port); err != nil || number < 0 || number > 65535 {
		return "", false, fmt.Errorf("%q: %q is not a port", endpoint, port)
	}
	if ip := net.ParseIP(host); host == "*" || host == "" || ip != nil && ip.IsUnspecified() {
		if host == "*" {
			host = ""
		}
		return net.JoinHostPort(host, port), true, nil
	}
	return net.JoinHostPort(host, port), false, nil
}

// Run takes messages until ctx ends. It returns early only when it cannot listen.
func (h *Hub) Run(ctx context.Context) error {
	address, listen, err := ParseEndpoint(h.endpoint)
	if err != nil {
		return err
	}
	h.options.Metrics.began()
	defer h.options.Metrics.ended()
	if listen {
		return h.listen(ctx, address)
	}
	for retry := firstRetry; ctx.Err() == nil; retry = min(2*retry, h.options.retry) {
		p, err := dial(ctx, address, "SUB", "PUB", "XPUB")
		if err == nil {
			retry = firstRetry
			h.serve(ctx, p)
		} else if ctx.Err() == nil {
			h.options.Metrics.failed(h.endpoint, "connect")
		}
		if !pause(ctx, retry) {
			break
		}
		h.options.Metrics.reconnecting(h.endpoint)
	}
	return nil
}

func (h *Hub) listen(ctx context.Context, address string) error {
	config := net.ListenConfig{KeepAliveConfig: keepAlive}
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening for engines: %w", err)
	}
	return h.accept(ctx, listener)
}

// accept serves engines that connect, until ctx ends and all are gone.
func (h *Hub) accept(ctx context.Context, listener net.Listener) error {
	var engines sync.WaitGroup
	defer engines.Wait()
	defer func() { _ = listener.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	places := make(chan struct{}, maxPublishers)
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil { // out of files, for one
			if !pause(ctx, firstRetry) {
				return nil
			}
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			_ = conn.Close()
			h.options.Metrics.failed(h.endpoint, "accept")
			continue
		}
		engines.Go(func() {
			defer func() { <-places }()
			p, err := shake(ctx, conn, "SUB", "PUB", "XPUB")
			if err != nil {
				h.options.Metrics.failed(h.endpoint, "connect")
				return
			}
			h.serve(ctx, p)
		})
	}
}

// serve takes the messages of one connection as long as it lasts.
func (h *Hub) serve(ctx context.Context, p *peer) {
	defer p.close()
	stop := context.AfterFunc(ctx, p.close)
	defer stop()
	if err := p.subscribe(h.options.Topic); err != nil {
		return
	}
	for {
		frames, err := p.receive()
		if err != nil {
			if ctx.Err() == nil {
				h.options.Metrics.failed(h.endpoint, "receive")
			}
			return
		}
		seq, payload, ok := numbered(frames)
		if !ok {
			h.options.Metrics.failed(h.endpoint, "decode")
			continue
		}
		h.take(ctx, frames[0], seq, payload)
	}
}

// take passes a message to the feed of its server.
func (h *Hub) take(ctx context.Context, topic []byte, seq uint64, payload []byte) {
	rank := rankOf(payload)
	name, sink, ok := h.resolve(podOf(string(topic)), rank)
	if !ok {
		h.options.Metrics.failed(h.endpoint, "unknown_pod")
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if rank >= maxRanks {
		rank = -1
	}
	from := source{sink, rank}
	f := h.feeds[from]
	if f == nil {
		f = h.options.feed(name, "", sink)
		h.feeds[from] = f
	}
	f.about(topic)
	f.take(ctx, seq, payload)
}

// Forget drops what is known of a server that is gone.
func (h *Hub) Forget(sink Sink) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for from, f := range h.feeds {
		if from.sink == sink {
			h.options.Metrics.forget(f.name)
			delete(h.feeds, from)
		}
	}
}

// podOf is the pod of a topic kv@<pod>@<model>.
func podOf(topic string) string {
	_, rest, _ := strings.Cut(topic, "@")
	pod, _, _ := strings.Cut(rest, "@")
	return pod
}

// rankOf is the rank that a message names, -1 when it names none.
func rankOf(payload []byte) int {
	var b Batch
	r := &reader{b: payload}
	if !r.isArray() {
		pairs, err := r.object()
		for i := 0; i < pairs && err == nil; i++ {
			var name []byte
			if name, err = r.text(); err == nil && string(name) == "data_parallel_rank" && b.rank(r) == nil {
				return max(b.Rank, -1)
			}
			if err == nil {
				err = r.skip()
			}
		}
		return -1
	}
	n, err := r.array()
	if err != nil || n < 3 || r.skip() != nil || r.skip() != nil || !r.isInteger() || b.rank(r) != nil {
		return -1
	}
	return b.Rank
}

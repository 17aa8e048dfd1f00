package kvevents

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Times of reconnecting. After unreachable without a connection a server's blocks are forgotten.
const (
	firstRetry  = 100 * time.Millisecond
	lastRetry   = 5 * time.Second
	unreachable = 30 * time.Second
)

// Options are what all subscribers of a process share. Make them with NewOptions.
type Options struct {
	// Topic is how the topics begin that are subscribed to.
	Topic   string
	Metrics *Metrics
	Logger  *slog.Logger

	replays                   chan struct{}
	cooldown, patience, retry time.Duration
}

// NewOptions gives options with the bounds of a process.
func NewOptions(topic string, metrics *Metrics, logger *slog.Logger) *Options {
	return &Options{Topic: topic, Metrics: metrics, Logger: logger, replays: make(chan struct{}, replaysAtOnce),
		cooldown: replayCooldown, patience: unreachable, retry: lastRetry}
}

func (o *Options) feed(name, replay string, sink Sink) *feed {
	return &feed{name: name, sink: sink, replay: replay, metrics: o.Metrics, logger: o.Logger, replays: o.replays, cooldown: o.cooldown}
}

// Subscriber follows one engine.
type Subscriber struct {
	options *Options
	address string
	feed    *feed
}

// NewSubscriber makes the subscriber of an engine that publishes at address ("host:port") and can be asked again at replay;
// empty: it cannot. name stands in logs and metrics.
func NewSubscriber(options *Options, name, address, replay string, sink Sink) *Subscriber {
	return &Subscriber{options: options, address: address, feed: options.feed(name, replay, sink)}
}

// Run follows the engine until ctx ends. It may run again afterwards, and goes on where it was.
func (s *Subscriber) Run(ctx context.Context) {
	s.options.Metrics.began()
	defer s.options.Metrics.ended()
	lost := time.Now()
	for retry := firstRetry; ctx.Err() == nil; retry = min(2*retry, s.options.retry) {
		if s.follow(ctx) {
			retry, lost = firstRetry, time.Now()
		}
		if s.feed.known && time.Since(lost) > s.options.patience {
			s.feed.forget()
		}
		if !pause(ctx, retry) {
			return
		}
		s.options.Metrics.reconnecting(s.feed.name)
	}
}

// Forget takes the series of the engine away; it must not run any more.
func (s *Subscriber) Forget() { s.options.Metrics.forget(s.feed.name) }

// follow takes messages from one connection as long as it lasts, and tells whether there was one.
func (s *Subscriber) follow(ctx context.Context) (connected bool) {
	p, err := dial(ctx, s.address, "SUB", "PUB", "XPUB")
	if err != nil {
		s.failed(ctx, "connect", err)
		return false
	}
	defer p.close()
	stop := context.AfterFunc(ctx, p.close)
	defer stop()
	if err := p.subscribe(s.options.Topic); err != nil {
		s.failed(ctx, "subscribe", err)
		return false
	}
	s.options.Logger.Debug("subscribed to the KV cache events of an engine", "engine", s.feed.name, "address", s.address)
	s.feed.connected(ctx)
	for {
		frames, err := p.receive()
		if err != nil {
			s.failed(ctx, "receive", err)
			return true
		}
		if seq, payload, ok := numbered(frames); ok {
			s.feed.about(frames[0])
			s.feed.take(ctx, seq, payload)
		} else {
			s.options.Metrics.failed(s.feed.name, "decode")
		}
	}
}

func (s *Subscriber) failed(ctx context.Context, operation string, err error) {
	if ctx.Err() != nil {
		return
	}
	s.options.Metrics.failed(s.feed.name, operation)
	s.options.Logger.Debug("the KV cache events of an engine are not to be had; trying again", "engine", s.feed.name,
		"address", s.address, "operation", operation, "error", err)
}

// numbered takes a message apart: topic, number, payload.
func numbered(frames [][]byte) (seq uint64, payload []byte, ok bool) {
	if len(frames) != 3 || len(frames[1]) != 8 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(frames[1]), frames[2], true
}

// pause waits about d, and tells whether ctx still goes on. It spreads those that lost their engines at the same time.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

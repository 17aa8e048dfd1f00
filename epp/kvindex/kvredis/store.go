package kvredis

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/switchyard/switchyard/epp/kvindex"
)

const (
	// Patience is how long all reads of one pick may take. One that takes longer goes on without.
	Patience = 10 * time.Millisecond
	// failures in a row after which picks do not ask any more, until a probe is answered in time.
	failures = 3
	// probeEvery is how often that is tried.
	probeEvery = 200 * time.Millisecond
	// sayEvery is how often the same trouble is logged.
	sayEvery = time.Minute
)

// Options of a Store. All are required but Medium and Logger.
type Options struct {
	Address string // see ParseAddress
	Hasher  *kvindex.Hasher
	Metrics *kvindex.Metrics
	Medium  string // where blocks are that no medium is told of; empty: gpu
	Logger  *slog.Logger
}

// Store is a database of blocks. Run must run for it to do anything. All methods may be called at once.
type Store struct {
	options  *redis.Options
	patience time.Duration
	hasher   *kvindex.Hasher
	metrics  *kvindex.Metrics
	medium   string
	logger   *slog.Logger

	reader   atomic.Pointer[redis.Client] // nil: it does not run
	readable atomic.Bool
	failed   atomic.Int32 // reads in a row
	down, up sometimes
	full     sometimes

	mu     sync.RWMutex // of what follows
	names  map[string][]*server
	fields map[string]resolved // that were seen before

	queue queue
	// What follows belongs to Run.
	pending []item // taken from the queue, not written yet
	cache   cache
	sweep   sweep
	stuck   bool
	loaded  bool // the script is there
	last    uint32
}

// resolved is what a field stands for.
type resolved struct {
	ordinal int // -1: of no server that is followed
	tier    string
	assumed bool
}

// maxFields bounds the fields that are remembered; others are read anew each time.
const maxFields = 1 << 16

// New makes a store. It does not connect yet.
func New(o Options) (*Store, error) {
	options, err := clientOptions(o.Address)
	if err != nil {
		return nil, err
	}
	if o.Medium == "" {
		o.Medium = "gpu"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Store{options: options, patience: Patience, hasher: o.Hasher, metrics: o.Metrics, medium: o.Medium, logger: o.Logger,
		names: map[string][]*server{}, fields: map[string]resolved{}, queue: newQueue()}, nil
}

// Patience implements kvindex.Shared.
func (s *Store) Patience() time.Duration { return s.patience }

// Follow implements kvindex.Shared. A name that several servers have counts for none of them.
func (s *Store) Follow(ordinal int, names []string) kvindex.SharedServer {
	if len(names) == 0 {
		names = []string{""}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	at := &server{store: s, ordinal: ordinal, names: names, id: s.last}
	for _, name := range names {
		s.names[name] = append(s.names[name], at)
	}
	clear(s.fields)
	return at
}

func (s *Store) forget(at *server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range at.names {
		if s.names[name] = slices.DeleteFunc(s.names[name], func(other *server) bool { return other == at }); len(s.names[name]) == 0 {
			delete(s.names, name)
		}
	}
	clear(s.fields)
}

// Run connects, and writes what is in the queue until ctx ends. It may run again afterwards, and goes on where it was.
func (s *Store) Run(ctx context.Context) {
	var forReads, forWrites lines
	reader, writer := clients(*s.options, &forReads, &forWrites)
	var probes sync.WaitGroup
	defer func() {
		s.readable.Store(false)
		s.reader.Store(nil)
		probes.Wait()
		_, _ = reader.Close(), writer.Close()
		forReads.cut()
		forWrites.cut()
	}()
	s.reader.Store(reader)
	probes.Go(func() { s.probe(ctx, reader, &forReads) })
	s.loaded = false
	s.write(ctx, writer)
}

// probe finds out when picks may ask again.
func (s *Store) probe(ctx context.Context, reader *redis.Client, conns *lines) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if !s.readable.Load() {
			if err := s.answers(ctx, reader); err == nil {
				s.failed.Store(0)
				s.readable.Store(true)
				if s.up.now() {
					s.logger.Info("the shared prefix index answers; picks use it", "address", s.options.Addr)
				}
			} else if ctx.Err() == nil {
				s.sayDown(err)
				conns.cut()
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// answers asks twice: the first time may have to connect, the second must be as quick as picks want it.
func (s *Store) answers(ctx context.Context, reader *redis.Client) error {
	for _, limit := range []time.Duration{dialTimeout, s.patience} {
		asking, cancel := context.WithTimeout(ctx, limit)
		err := reader.Ping(asking).Err()
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) sayDown(err error) {
	if s.down.now() {
		s.logger.Warn("the shared prefix index does not answer in time; picks go on without it until it does",
			"address", s.options.Addr, "limit", s.patience, "error", err)
	}
}

// State is how a store is doing. For pages that people look at.
type State struct {
	Answers bool `json:"answers"` // picks ask it
	Waiting int  `json:"waiting"` // changes that are not written yet
}

// State tells how the store is doing.
func (s *Store) State() State { return State{s.readable.Load(), s.queue.length()} }

// Collectors are the metrics of the store itself.
func (s *Store) Collectors() []prometheus.Collector {
	return []prometheus.Collector{prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "llm_d_epp",
		Name: "kv_cache_events_pool_queue_depth", Help: "[ALPHA] Messages of engines that wait to be written to the shared index."},
		func() float64 { return float64(s.queue.length()) })}
}

// sometimes says now and then that it is time to say something.
type sometimes struct {
	mu   sync.Mutex
	next time.Time
}

func (t *sometimes) now() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.After(t.next) {
		t.next = now.Add(sayEvery)
		return true
	}
	return false
}

// refusals are replies that say that the whole database, not the command, is at fault.
var refusals = []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOAUTH", "WRONGPASS", "NOPERM", "NOSCRIPT",
	"BUSY", "MISCONF", "NOREPLICAS"}

// unanswered is the error when a command had no answer that counts; an error about the command alone is none.
func unanswered(err error) error {
	var reply redis.Error
	if err == nil || errors.Is(err, redis.Nil) {
		return nil
	}
	if errors.As(err, &reply) {
		for _, word := range refusals {
			if strings.HasPrefix(reply.Error(), word) {
				return err
			}
		}
		return nil
	}
	return err
}

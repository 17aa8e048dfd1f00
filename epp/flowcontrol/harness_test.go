package flowcontrol_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/flowcontrol/fairness"
	"github.com/switchyard/switchyard/epp/flowcontrol/ordering"
	"github.com/switchyard/switchyard/epp/flowcontrol/usagelimit"
)

// server is a pool with room for so many requests.
type server struct {
	mu       sync.Mutex
	room     int
	inFlight int
	empty    bool
	stale    bool // nothing is known of it
	readings int
}

func (s *server) read(_ string, ahead flowcontrol.Load) flowcontrol.Reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readings++
	if s.empty {
		return flowcontrol.Reading{Level: 1}
	}
	level := 1.0
	if s.room > 0 {
		level = float64(s.inFlight+int(ahead.Requests)) / float64(s.room)
	}
	if s.stale {
		return flowcontrol.Reading{Level: 1, Endpoints: 1, Stale: 1}
	}
	return flowcontrol.Reading{Level: level, Endpoints: 1, Decode: flowcontrol.Stage{Endpoints: 1, Level: level}}
}

func (s *server) set(change func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readings
}

// place puts a ticket's request on the server; what it returns ends it.
func (s *server) place(t *flowcontrol.Ticket) (end func()) {
	s.set(func(s *server) { s.inFlight++ })
	t.Placed()
	return func() {
		s.set(func(s *server) { s.inFlight-- })
		t.Release(flowcontrol.Usage{Input: -1, Output: -1})
	}
}

// options is one band of everything, default policies, no bounds beyond the band's.
func options(t testing.TB, s *server) flowcontrol.Options {
	t.Helper()
	static, err := usagelimit.NewStatic(nil)
	if err != nil {
		t.Fatal(err)
	}
	return flowcontrol.Options{
		Saturation: s.read,
		TTL:        time.Minute, NoEndpointTTL: time.Minute,
		Default:    flowcontrol.Band{Fairness: fairness.GlobalStrict{}, Ordering: ordering.FCFS{}},
		UsageLimit: static,
	}
}

func newController(t testing.TB, o flowcontrol.Options) *flowcontrol.Controller {
	t.Helper()
	c, err := flowcontrol.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

// call is one request under way in a test.
type call struct {
	name   string
	ctx    context.CancelFunc
	ticket *flowcontrol.Ticket
	err    error
	ended  chan struct{}
	at     time.Time // of the end
}

// admit starts a request and waits until it is queued or through.
func admit(c *flowcontrol.Controller, name string, r flowcontrol.Request) *call {
	ctx, cancel := context.WithCancel(context.Background())
	r.Pool = "ns/pool"
	made := &call{name: name, ctx: cancel, ended: make(chan struct{})}
	go func() {
		defer cancel()
		made.ticket, made.err = c.Admit(ctx, r)
		made.at = time.Now()
		close(made.ended)
	}()
	synctest.Wait()
	return made
}

func (c *call) done() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

func (c *call) dispatched() bool { return c.done() && c.err == nil }

func (c *call) refusal(t *testing.T) *flowcontrol.Refusal {
	t.Helper()
	var refusal *flowcontrol.Refusal
	if !c.done() || !errors.As(c.err, &refusal) {
		t.Fatalf("%s: done %v, error %v; want a refusal", c.name, c.done(), c.err)
	}
	if c.ticket != nil {
		t.Fatalf("%s: refused, and has a ticket", c.name)
	}
	return refusal
}

// serveOneByOne has a server with room for one take all that waits, and returns the names in the order of dispatch.
func serveOneByOne(t *testing.T, c *flowcontrol.Controller, s *server, calls []*call) []string {
	t.Helper()
	var names []string
	seen := map[*call]bool{}
	s.set(func(s *server) { s.room = 1 })
	c.Changed("ns/pool")
	for {
		synctest.Wait()
		var next *call
		for _, one := range calls {
			if seen[one] || !one.done() {
				continue
			}
			if next != nil {
				t.Fatalf("%s and %s were dispatched at once, with room for one", next.name, one.name)
			}
			next = one
		}
		if next == nil {
			return names
		}
		seen[next] = true
		if next.err != nil {
			t.Fatalf("%s: %v", next.name, next.err)
		}
		names = append(names, next.name)
		s.place(next.ticket)()
	}
}

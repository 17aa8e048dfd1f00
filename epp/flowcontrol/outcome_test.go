package flowcontrol_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard/switchyard/epp/flowcontrol"
)

// TestRefusals: each way not to be scheduled has its status, its words and its reason.
func TestRefusals(t *testing.T) {
	queued := flowcontrol.Request{Bytes: 10}
	tests := map[string]struct {
		options func(*flowcontrol.Options)
		act     func(t *testing.T, c *flowcontrol.Controller, s *server) *call
		outcome flowcontrol.Outcome
		status  int
		code    string
		message string // a prefix
		reason  string
	}{
		"band is full of requests": {
			options: func(o *flowcontrol.Options) { o.Default.MaxRequests = 1 },
			act: func(_ *testing.T, c *flowcontrol.Controller, _ *server) *call {
				admit(c, "first", queued)
				return admit(c, "second", queued)
			},
			outcome: flowcontrol.RejectedCapacity, status: 429, code: "ResourceExhausted",
			message: "the queue of this priority holds as many requests", reason: "rejected-saturated",
		},
		"band is full of bytes": {
			options: func(o *flowcontrol.Options) { o.Default.MaxBytes = 15 },
			act: func(_ *testing.T, c *flowcontrol.Controller, _ *server) *call {
				admit(c, "first", queued)
				return admit(c, "second", queued)
			},
			outcome: flowcontrol.RejectedCapacity, status: 429, code: "ResourceExhausted",
			message: "the queue of this priority holds as many bytes", reason: "rejected-saturated",
		},
		"pool is full of requests": {
			options: func(o *flowcontrol.Options) { o.MaxRequests = 1 },
			act: func(_ *testing.T, c *flowcontrol.Controller, _ *server) *call {
				admit(c, "first", flowcontrol.Request{Priority: 5})
				return admit(c, "second", queued)
			},
			outcome: flowcontrol.RejectedCapacity, status: 429, code: "ResourceExhausted",
			message: "the queue of the pool holds as many requests", reason: "rejected-saturated",
		},
		"pool is full of bytes": {
			options: func(o *flowcontrol.Options) { o.MaxBytes = 9 },
			act: func(_ *testing.T, c *flowcontrol.Controller, _ *server) *call {
				return admit(c, "too large", queued)
			},
			outcome: flowcontrol.RejectedCapacity, status: 429, code: "ResourceExhausted",
			message: "the queue of the pool holds as many bytes", reason: "rejected-saturated",
		},
		"full, and the pool is empty": {
			options: func(o *flowcontrol.Options) { o.Default.MaxRequests = 1 },
			act: func(_ *testing.T, c *flowcontrol.Controller, s *server) *call {
				s.set(func(s *server) { s.empty = true })
				admit(c, "first", queued)
				return admit(c, "second", queued)
			},
			outcome: flowcontrol.RejectedNoEndpoints, status: 503, code: "ServiceUnavailable",
			message: "no endpoints available: ", reason: "rejected-no-endpoints",
		},
		"waited too long": {
			act: func(_ *testing.T, c *flowcontrol.Controller, _ *server) *call {
				made := admit(c, "waits", queued)
				time.Sleep(time.Minute)
				synctest.Wait()
				return made
			},
			outcome: flowcontrol.EvictedTTL, status: 429, code: "ResourceExhausted",
			message: "request timed out in queue: ", reason: "rejected-ttl-expired",
		},
		"waited too long for an endpoint": {
			options: func(o *flowcontrol.Options) { o.NoEndpointTTL = 5 * time.Second },
			act: func(_ *testing.T, c *flowcontrol.Controller, s *server) *call {
				s.set(func(s *server) { s.empty = true })
				made := admit(c, "waits", queued)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				return made
			},
			outcome: flowcontrol.EvictedNoEndpoints, status: 503, code: "ServiceUnavailable",
			message: "request timed out in queue and no endpoints are available: ", reason: "rejected-no-endpoints",
		},
		"client goes": {
			act: func(_ *testing.T, c *flowcontrol.Controller, _ *server) *call {
				made := admit(c, "waits", queued)
				made.ctx()
				synctest.Wait()
				return made
			},
			outcome: flowcontrol.EvictedContextCancelled, status: 503, code: "ServiceUnavailable",
			message: "client disconnected: context canceled", reason: "rejected-context-cancelled",
		},
		"stopped while it waits": {
			act: func(_ *testing.T, c *flowcontrol.Controller, _ *server) *call {
				made := admit(c, "waits", queued)
				c.Stop()
				synctest.Wait()
				return made
			},
			outcome: flowcontrol.EvictedOther, status: 503, code: "ServiceUnavailable",
			message: "flow controller shutting down: ", reason: "rejected-shutting-down",
		},
		"stopped before it comes": {
			act: func(_ *testing.T, c *flowcontrol.Controller, s *server) *call {
				s.set(func(s *server) { s.room = 1 })
				c.Stop()
				return admit(c, "late", queued)
			},
			outcome: flowcontrol.RejectedOther, status: 503, code: "ServiceUnavailable",
			message: "flow controller shutting down: ", reason: "rejected-shutting-down",
		},
		"of a size that cannot be": {
			act: func(_ *testing.T, c *flowcontrol.Controller, _ *server) *call {
				return admit(c, "wrong", flowcontrol.Request{Bytes: -1})
			},
			outcome: flowcontrol.RejectedOther, status: 500, code: "Internal",
			message: "internal flow control error: ", reason: "",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{}
				o := options(t, s)
				if test.options != nil {
					test.options(&o)
				}
				c := newController(t, o)
				got := test.act(t, c, s).refusal(t)
				if got.Outcome != test.outcome || got.Status != test.status || got.Code != test.code || got.Reason != test.reason {
					t.Errorf("got %+v", got)
				}
				if !strings.HasPrefix(got.Message, test.message) || got.Error() != got.Message {
					t.Errorf("message %q, want it to begin with %q", got.Message, test.message)
				}
			})
		})
	}
}

// TestRefusedLeavesNothing: who is refused for want of room, or leaves, takes no room.
func TestRefusedLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		o := options(t, s)
		o.Default.MaxRequests, o.Default.MaxBytes, o.MaxRequests, o.MaxBytes = 1, 10, 1, 10
		c := newController(t, o)
		for range 3 {
			first := admit(c, "first", flowcontrol.Request{Bytes: 10})
			admit(c, "second", flowcontrol.Request{}).refusal(t)
			if c.Waiting() != 1 {
				t.Fatalf("%d wait, want 1", c.Waiting())
			}
			first.ctx()
			synctest.Wait()
			first.refusal(t)
		}
		if c.Waiting() != 0 {
			t.Fatalf("%d wait, want 0", c.Waiting())
		}
	})
}

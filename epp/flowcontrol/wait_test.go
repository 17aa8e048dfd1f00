package flowcontrol_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard/switchyard/epp/flowcontrol"
)

func TestPassesAtOnceWhereThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{room: 3}
		c := newController(t, options(t, s))
		var calls []*call
		for i := range 5 {
			calls = append(calls, admit(c, fmt.Sprint(i), flowcontrol.Request{}))
		}
		for i, one := range calls {
			if one.dispatched() != (i < 3) {
				t.Errorf("request %d: dispatched %v; there is room for 3, none of which is placed yet", i, one.dispatched())
			}
		}
		end := s.place(calls[0].ticket)
		end()
		synctest.Wait()
		if !calls[3].dispatched() || calls[4].dispatched() {
			t.Errorf("after one ended: %v %v, want the fourth to go and the fifth to wait", calls[3].dispatched(), calls[4].dispatched())
		}
		end()
		calls[0].ticket.Release(flowcontrol.Usage{})
		synctest.Wait()
		if calls[4].dispatched() {
			t.Error("a ticket that is released twice made room twice")
		}
	})
}

// TestWakes: what waits goes when there is news at once, and without any a little later.
func TestWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		c := newController(t, options(t, s))
		began := time.Now()
		first := admit(c, "first", flowcontrol.Request{})
		s.set(func(s *server) { s.room = 1 })
		c.Changed("ns/other")
		synctest.Wait()
		if first.done() {
			t.Fatal("news of another pool moved it")
		}
		c.Changed("ns/pool")
		synctest.Wait()
		if !first.dispatched() || !first.at.Equal(began) {
			t.Fatalf("news: dispatched %v, %v later", first.dispatched(), first.at.Sub(began))
		}
		second := admit(c, "second", flowcontrol.Request{})
		s.set(func(s *server) { s.room = 2 })
		<-second.ended
		if waited := second.at.Sub(began); waited > 25*time.Millisecond {
			t.Errorf("without news it went after %v", waited)
		}
	})
}

// TestIdleCostsNothing: with nothing waiting nobody looks at the pool.
func TestIdleCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{room: 1}
		c := newController(t, options(t, s))
		first := admit(c, "first", flowcontrol.Request{})
		second := admit(c, "second", flowcontrol.Request{})
		s.place(first.ticket)()
		synctest.Wait()
		s.place(second.ticket)()
		before := s.count()
		time.Sleep(24 * time.Hour)
		c.Changed("ns/pool")
		if after := s.count(); after != before {
			t.Errorf("%d readings in an idle day", after-before)
		}
	})
}

// TestBounds of the wait: each request's is its own, to the nanosecond, and follows the state of the pool.
func TestBounds(t *testing.T) {
	const ttl, noEndpoint = 40 * time.Second, 90 * time.Second
	tests := map[string]struct {
		request     func(now time.Time) flowcontrol.Request
		empty       bool
		changeAfter time.Duration // the pool becomes empty, or gets an endpoint
		ttl         time.Duration
		want        time.Duration
	}{
		"default":                    {want: ttl, ttl: ttl},
		"pool empty":                 {empty: true, want: noEndpoint, ttl: ttl},
		"pool becomes empty":         {changeAfter: 10 * time.Second, want: noEndpoint, ttl: ttl},
		"pool gets an endpoint":      {empty: true, changeAfter: 10 * time.Second, want: ttl, ttl: ttl},
		"pool gets an endpoint late": {empty: true, changeAfter: 60 * time.Second, want: 60 * time.Second, ttl: ttl},
		"arrived earlier": {request: func(now time.Time) flowcontrol.Request {
			return flowcontrol.Request{Arrived: now.Add(-15 * time.Second)}
		}, want: 25 * time.Second, ttl: ttl},
		"arrived too early": {request: func(now time.Time) flowcontrol.Request { return flowcontrol.Request{Arrived: now.Add(-time.Hour)} }, want: 0, ttl: ttl},
		"deadline earlier": {request: func(now time.Time) flowcontrol.Request {
			return flowcontrol.Request{Deadline: now.Add(7 * time.Second)}
		}, want: 7 * time.Second, ttl: ttl},
		"deadline later":              {request: func(now time.Time) flowcontrol.Request { return flowcontrol.Request{Deadline: now.Add(time.Hour)} }, want: ttl, ttl: ttl},
		"deadline without a bound":    {request: func(now time.Time) flowcontrol.Request { return flowcontrol.Request{Deadline: now.Add(time.Hour)} }, want: time.Hour},
		"without a bound, pool empty": {changeAfter: time.Second, want: noEndpoint},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{empty: test.empty}
				o := options(t, s)
				o.TTL, o.NoEndpointTTL = test.ttl, noEndpoint
				c := newController(t, o)
				began := time.Now()
				var r flowcontrol.Request
				if test.request != nil {
					r = test.request(began)
				}
				made := admit(c, name, r)
				if test.changeAfter > 0 {
					time.Sleep(test.changeAfter)
					s.set(func(s *server) { s.empty = !s.empty })
					c.Changed("ns/pool")
				}
				<-made.ended
				made.refusal(t)
				if waited := made.at.Sub(began); waited != test.want {
					t.Errorf("waited %v, want %v", waited, test.want)
				}
			})
		})
	}
}

func TestWithoutBoundWaitsUntilTheClientGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		o := options(t, s)
		o.TTL, o.NoEndpointTTL = 0, 0
		c := newController(t, o)
		made := admit(c, "waits", flowcontrol.Request{})
		time.Sleep(time.Hour)
		if made.done() {
			t.Fatalf("ended with %v", made.err)
		}
		made.ctx()
		synctest.Wait()
		made.refusal(t)
	})
}

// TestQueued: who has to wait is told for how long at most, and nobody else is.
func TestQueued(t *testing.T) {
	for name, test := range map[string]struct {
		room            int
		ttl, noEndpoint time.Duration
		deadline        time.Duration
		want            time.Duration // -1: not told
	}{
		"passes":                   {room: 1, ttl: 10 * time.Second, noEndpoint: time.Second, want: -1},
		"the longer of two bounds": {ttl: 10 * time.Second, noEndpoint: 20 * time.Second, want: 20 * time.Second},
		"deadline":                 {ttl: 10 * time.Second, noEndpoint: 20 * time.Second, deadline: 15 * time.Second, want: 15 * time.Second},
		"one without bound":        {ttl: 10 * time.Second, want: 0},
		"deadline alone":           {deadline: 15 * time.Second, want: 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{room: test.room}
				o := options(t, s)
				o.TTL, o.NoEndpointTTL = test.ttl, test.noEndpoint
				c := newController(t, o)
				told, times := time.Duration(-1), 0
				r := flowcontrol.Request{Queued: func(longest time.Duration) { told = longest; times++ }}
				if test.deadline > 0 {
					r.Deadline = time.Now().Add(test.deadline)
				}
				admit(c, name, r)
				if told != test.want || times > 1 {
					t.Errorf("told %v, %d times; want %v", told, times, test.want)
				}
			})
		})
	}
}

// TestOpensAtOnce: when a pool gets room for all, more than one pass is dispatched without time passing.
func TestOpensAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		s := &server{}
		c := newController(t, options(t, s))
		began := time.Now()
		var calls []*call
		for i := range n {
			calls = append(calls, admit(c, fmt.Sprint(i), flowcontrol.Request{}))
		}
		s.set(func(s *server) { s.room = n })
		c.Changed("ns/pool")
		for _, one := range calls {
			<-one.ended
			if one.err != nil || !one.at.Equal(began) {
				t.Fatalf("%s: error %v after %v", one.name, one.err, one.at.Sub(began))
			}
		}
	})
}

func TestDrain(t *testing.T) {
	for name, serve := range map[string]bool{"served": true, "cut off": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{}
				c := newController(t, options(t, s))
				made := admit(c, "waits", flowcontrol.Request{})
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				drained := make(chan struct{})
				began := time.Now()
				go func() { c.Drain(ctx); close(drained) }()
				if serve {
					synctest.Wait()
					s.set(func(s *server) { s.room = 1 })
				}
				<-drained
				<-made.ended
				if serve && (made.err != nil || time.Since(began) > time.Second) {
					t.Errorf("error %v after %v", made.err, time.Since(began))
				}
				if !serve && (made.refusal(t).Reason != "rejected-shutting-down" || time.Since(began) != 10*time.Second) {
					t.Errorf("refused with %q after %v", made.refusal(t).Reason, time.Since(began))
				}
				admit(c, "late", flowcontrol.Request{}).refusal(t)
			})
		})
	}
}

// TestNilAdmits: flow control that is off is a nil controller.
func TestNilAdmits(t *testing.T) {
	var c *flowcontrol.Controller
	ticket, err := c.Admit(context.Background(), flowcontrol.Request{})
	if ticket != nil || err != nil {
		t.Fatalf("got %v, %v", ticket, err)
	}
	ticket.Placed()
	ticket.Release(flowcontrol.Usage{})
	c.Changed("x")
	c.Drain(context.Background())
	c.Stop()
}

// TestBoundsChangeOrder: when the pool becomes empty, who had the later end may have the earlier one.
func TestBoundsChangeOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{room: 1, inFlight: 1}
		o := options(t, s)
		o.TTL, o.NoEndpointTTL = 40*time.Second, 90*time.Second
		c := newController(t, o)
		began := time.Now()
		first := admit(c, "first", flowcontrol.Request{})
		time.Sleep(time.Second)
		second := admit(c, "second", flowcontrol.Request{Deadline: began.Add(60 * time.Second)})
		s.set(func(s *server) { s.empty = true })
		<-second.ended
		<-first.ended
		if second.at.Sub(began) != 60*time.Second || first.at.Sub(began) != 90*time.Second {
			t.Errorf("ended after %v and %v, want 90 s and, by its own deadline, 60 s", first.at.Sub(began), second.at.Sub(began))
		}
	})
}

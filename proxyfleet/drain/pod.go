package drain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
)

// PodOptions say how the proxy of a pod ends.
type PodOptions struct {
	Admin Admin
	// Settle is how long new connections are still served after readiness failed, until every node and load
	// balancer has taken the pod out; default DefaultSettle.
	Settle time.Duration
	// Limit bounds how long open requests are waited for after that.
	Limit time.Duration
	// Idle is how long connections without a request are left to their clients, each of which may send its next request
	// until the process has really ended; default DefaultIdle.
	Idle time.Duration
	Log  *slog.Logger // default slog.Default()
}

// DefaultSettle covers the way from a pod's deletion over its EndpointSlice to every node's kube-proxy.
const DefaultSettle = 5 * time.Second

// DefaultIdle is longer than clients that send one request after the other take for the way from an answer to the next request.
const DefaultIdle = 2 * time.Second

// podPoll is the pause between two looks at a proxy that may have minutes of streams to wait for.
const podPoll = 200 * time.Millisecond

// Pod ends the work of a proxy behind a Service, which takes new connections elsewhere only some time after the
// pod was told to end: readiness fails at once, which asks clients to leave; new connections are served for
// Settle and as long as something is open; the listeners close when nothing is. It returns when the process may
// be ended, at most Settle, Limit and a second later. An error says why that was before everything had ended.
//
// Envoy also gets to know that it drains (POST /drain_listeners?graceful), which makes it say so in
// /server_info and close its listeners by itself after its --drain-time-s.
func Pod(ctx context.Context, o PodOptions) error {
	if o.Settle == 0 {
		o.Settle = DefaultSettle
	}
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := o.Admin.FailReadiness(ctx); err != nil {
		if notServing(err) {
			o.Log.Info("nothing to drain: the proxy does not run", "error", err)
			return nil
		}
		return err
	}
	o.Log.Info("readiness fails now", "settle", o.Settle)
	if err := pause(ctx, o.Settle, nil); err != nil {
		return err
	}
	if _, err := o.Admin.Request(ctx, http.MethodPost, "/drain_listeners?graceful"); err != nil {
		return err
	}
	end := time.Now().Add(o.Limit)
	limited, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	err := waitQuiet(limited, o.Admin, podPoll, o.Idle, nil)
	if err != nil && limited.Err() == nil {
		return err
	}
	// What is accepted in the last moment is still answered, for as long as the others were waited for.
	moment := time.Now().Add(time.Second)
	if moment.Before(end) {
		moment = end
	}
	last, cancelLast := context.WithDeadline(ctx, moment)
	defer cancelLast()
	if closeErr := o.Admin.CloseListeners(last); closeErr != nil {
		return errors.Join(err, closeErr)
	}
	if err != nil {
		return fmt.Errorf("after %s: %w", o.Limit, err)
	}
	return waitQuiet(last, o.Admin, pollEvery, o.Idle, nil)
}

// notServing tells whether nobody listens on the admin address.
func notServing(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && errors.Is(err, syscall.ECONNREFUSED)
}

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/switchyard/switchyard/epp/bench/wire"
)

// requester sends the n-th request of a row; it returns when the request stands where it stays for the time of its answer, and ends it
// in the background after hold. waited is what the request waited for its pick.
type requester interface {
	begin(ctx context.Context, n int, hold func() time.Duration) (waited time.Duration, err error)
}

// load is the requests of one row.
type load struct {
	requester requester
	next      atomic.Int64
	flights   atomic.Int64
	failure   atomic.Pointer[error]

	mu     sync.Mutex
	waited []time.Duration
}

func (l *load) fail(err error) { l.failure.CompareAndSwap(nil, &err) }

func (l *load) failed() error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// atOnce sends n requests as fast as it goes, with so many under way at a time, until a time is up.
func atOnce(ctx context.Context, n, workers int, limit time.Duration, send func(i int) error) (sent int, err error) {
	deadline := time.Now().Add(limit)
	var next, done atomic.Int64
	var first atomic.Pointer[error]
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for first.Load() == nil && ctx.Err() == nil && time.Now().Before(deadline) {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := send(i); err != nil {
					first.CompareAndSwap(nil, &err)
					return
				}
				done.Add(1)
			}
		})
	}
	group.Wait()
	if err := first.Load(); err != nil {
		return int(done.Load()), *err
	}
	return int(done.Load()), ctx.Err()
}

// prefill brings as many requests into flight as there are when requests come at a rate and take hold. From its end on as many end in a
// second as are to begin.
func (l *load) prefill(ctx context.Context, rate float64, hold time.Duration, workers int, limit time.Duration) (int, error) {
	end := make(chan struct{})
	var ended atomic.Int64 // unix nanoseconds
	n := int(rate * hold.Seconds())
	sent, err := atOnce(ctx, n, workers, limit, func(i int) error {
		_, err := l.requester.begin(ctx, int(l.next.Add(1)), func() time.Duration {
			<-end
			return time.Until(time.Unix(0, ended.Load()).Add(time.Duration(float64(i+1) / rate * float64(time.Second))))
		})
		return err
	})
	ended.Store(time.Now().UnixNano())
	close(end)
	return sent, err
}

// steady begins requests at a rate for a time and returns how many began, whatever became of earlier ones.
func (l *load) steady(ctx context.Context, rate float64, hold, length time.Duration) int {
	var group sync.WaitGroup
	defer group.Wait()
	began := time.Now()
	for i := 0; ; i++ {
		at := time.Duration(float64(i) / rate * float64(time.Second))
		if at >= length {
			return i
		}
		timer := time.NewTimer(at - time.Since(began))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return i
		}
		if time.Since(began) >= length {
			return i
		}
		group.Go(func() {
			waited, err := l.requester.begin(ctx, int(l.next.Add(1)), func() time.Duration { return hold })
			if err != nil {
				l.fail(err)
				return
			}
			l.mu.Lock()
			l.waited = append(l.waited, waited)
			l.mu.Unlock()
		})
	}
}

// quantile gives the value below which the share q of the waits lies.
func (l *load) quantile(q float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waited) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(l.waited))
	return sorted[int(q*float64(len(sorted)-1))]
}

// streams asks the picker as proxies do.
type streams struct {
	load     *load
	conns    []*grpc.ClientConn
	prompt   prompt
	talks    talks
	trailers []byte
}

func dialPicker(p *picker) ([]*grpc.ClientConn, error) {
	return wire.Dial(fmt.Sprintf("127.0.0.1:%d", p.ports.extProc), credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}))
}

// begin implements requester.
func (s *streams) begin(ctx context.Context, n int, hold func() time.Duration) (time.Duration, error) {
	began := time.Now()
	stream, err := wire.Open(ctx, s.conns[n%len(s.conns)], poolKey)
	if err != nil {
		return 0, err
	}
	if err := wire.Exchange(stream, wire.Headers); err != nil {
		return 0, err
	}
	if err := wire.Exchange(stream, s.prompt.message(s.talks.talk(n), n)); err != nil {
		return 0, err
	}
	waited := time.Since(began)
	s.load.flights.Add(1)
	go func() {
		wait := hold()
		time.AfterFunc(wait, func() {
			if err := finish(stream, s.trailers); err != nil && ctx.Err() == nil {
				s.load.fail(err)
			}
			s.load.flights.Add(-1)
		})
	}()
	return waited, nil
}

// finish ends a stream as a proxy does at the end of an answer.
func finish(stream grpc.ClientStream, trailers []byte) error {
	if err := wire.Exchange(stream, trailers); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	var length int
	if err := stream.RecvMsg(&length); err != io.EOF {
		return fmt.Errorf("the stream did not end: %w", err)
	}
	return nil
}

// fill has the picker's index of prefixes as full as it gets, with prompts that are all different and no longer than what is matched.
// In service it is so after hours; memory would be told too small without it.
func fill(ctx context.Context, conns []*grpc.ClientConn, matched int, limit time.Duration) error {
	short := newPrompt(matched+indexBlockTokens, wire.Body)
	n := servers * indexBlocks / (matched / indexBlockTokens)
	trailers := wire.Trailers(uint64(matched), 1)
	_, err := atOnce(ctx, n+n/8, 16, limit, func(i int) error {
		stream, err := wire.Open(ctx, conns[i%len(conns)], poolKey)
		if err != nil {
			return err
		}
		if err := wire.Exchange(stream, wire.Headers); err != nil {
			return err
		}
		if err := wire.Exchange(stream, short.message(-i-1, i)); err != nil {
			return err
		}
		return finish(stream, trailers)
	})
	return err
}

package cases

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/switchyard/switchyard/conformance/bench/probe"
	"github.com/switchyard/switchyard/conformance/bench/results"
	"github.com/switchyard/switchyard/conformance/bench/stage"
	"github.com/switchyard/switchyard/conformance/bench/stats"
)

// churnReplicas is what the backend is scaled up to, and back to one.
const churnReplicas = 3

// flip alternates one route between the two ports under load.
func (b *Bench) flip(ctx context.Context, address string) (f *results.Flips, err error) {
	if err := b.Stage.MakeFlipRoute(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Stage.DeleteFlipRoute(ctx)) }()
	if err := b.awaitPortA(ctx, address); err != nil {
		return nil, err
	}
	b.Log.Info("flips", "count", b.Flips.Count, "connections", b.Flips.Connections)
	line := probe.NewTimeline(probe.State(stage.PortA.Name), b.Flips.Bound)
	begin := time.Now()
	load := probe.StartLoad(ctx, b.Flips.Connections, b.RequestTimeout, func(connection, request int) probe.Target {
		return probe.Target{Address: address, Host: stage.FlipHost, Path: fmt.Sprintf("/%d/%d", connection, request)}
	}, func(to probe.Target, a probe.Answer) {
		line.Record(a, func(a probe.Answer) (probe.State, error) { return flipState(a, to) })
	})
	stopChurn := b.churn(ctx)
	err = b.alternate(ctx, line)
	churnErr := stopChurn()
	load.Stop()
	return b.flipResults(line, time.Since(begin)), errors.Join(err, churnErr)
}

// awaitPortA begins from a state that all proxies agree on.
func (b *Bench) awaitPortA(ctx context.Context, address string) error {
	client := probe.NewFresh(b.RequestTimeout)
	target := probe.Target{Address: address, Host: stage.FlipHost, Path: "/"}
	until := probe.Until{
		Get: func(ctx context.Context) probe.Answer { return client.Get(ctx, target) },
		Judge: probe.JudgeNew(func(a probe.Answer) error {
			_, err := flipState(a, target)
			return err
		}),
		Every: 10 * time.Millisecond, Consecutive: 20, Limit: b.Propagation.Limit,
	}
	if _, err := until.Run(ctx, time.Now()); err != nil {
		return fmt.Errorf("the route that is to alternate does not answer: %w", err)
	}
	return nil
}

func (b *Bench) alternate(ctx context.Context, line *probe.Timeline) error {
	ports := []stage.Port{stage.PortB, stage.PortA}
	// Load before the first change shows that the route was right without one.
	if err := pause(ctx, b.Flips.Every); err != nil {
		return err
	}
	for i := range b.Flips.Count {
		to := ports[i%len(ports)]
		line.Sending(probe.State(to.Name))
		if err := b.Stage.Flip(ctx, to); err != nil {
			return err
		}
		line.Returned()
		if err := pause(ctx, b.Flips.Every); err != nil {
			return err
		}
		if (i+1)%10 == 0 {
			b.Log.Info("flips", "so far", line.String())
		}
	}
	return nil
}

// churn scales the backend up and down until the returned function is called, which tells what went wrong.
func (b *Bench) churn(ctx context.Context) (stop func() error) {
	if b.Flips.Churn == 0 {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	var failed error
	var wg sync.WaitGroup
	wg.Go(func() {
		for replicas := churnReplicas; failed == nil; replicas = 1 + churnReplicas - replicas {
			failed = b.Stage.ScaleBackend(ctx, replicas)
			if failed == nil && pause(ctx, b.Flips.Churn) != nil {
				return
			}
		}
	})
	return func() error {
		cancel()
		wg.Wait()
		if errors.Is(failed, context.Canceled) {
			return nil
		}
		return failed
	}
}

// flipState tells which of the two states a 200 shows, or why it is neither.
func flipState(a probe.Answer, target probe.Target) (probe.State, error) {
	value := a.Header.Get(stage.ResponseHeader)
	switch {
	case a.Echo.Service == "":
		return "", errors.New("not from the backend")
	case a.Echo.Path != target.Path:
		return "", errors.New("answer to another request")
	case a.Echo.Service == stage.PortA.Name && value == stage.FlipValue, a.Echo.Service == stage.PortB.Name && value == "":
		return probe.State(a.Echo.Service), nil
	case value == "":
		return "", fmt.Errorf("%s without the header", a.Echo.Service)
	default:
		return "", fmt.Errorf("%s with the header", a.Echo.Service)
	}
}

func (b *Bench) flipResults(line *probe.Timeline, took time.Duration) *results.Flips {
	tally, firstNew, lastOld, never := line.Report()
	return &results.Flips{
		Flips:       len(firstNew) + never,
		Connections: b.Flips.Connections,
		BoundMs:     stats.Milliseconds(b.Flips.Bound),
		Churn:       b.Flips.Churn > 0,
		Seconds:     took.Seconds(),
		Requests:    tally.Requests,
		Wrong:       tally.Wrong,
		Mixed:       tally.Mixed,
		Stale:       tally.Stale,
		StaleByMs:   stats.Milliseconds(tally.StaleBy),
		Early:       tally.Early,
		Never:       never,
		FirstNew:    stats.Summarize(firstNew),
		LastOld:     stats.Summarize(lastOld),
	}
}

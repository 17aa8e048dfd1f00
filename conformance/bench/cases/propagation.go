package cases

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard/switchyard/conformance/bench/probe"
	"github.com/switchyard/switchyard/conformance/bench/results"
	"github.com/switchyard/switchyard/conformance/bench/stage"
	"github.com/switchyard/switchyard/conformance/bench/stats"
)

const (
	// tellEvery is the number of routes between two progress lines.
	tellEvery = 50
	// giveUpAfter so many routes that never answered: each costs the whole limit.
	giveUpAfter = 3
)

// samples of the routes probed so far.
type samples struct {
	first, settled, apply, answer []time.Duration
}

// propagate applies routes one after the other and asks each until it answers. With a single proxy the first right answer is the last
// word; else the probing goes on until enough fresh connections in a row were answered right.
func (b *Bench) propagate(ctx context.Context, address string, proxies int) (*results.Propagation, error) {
	b.Log.Info("propagation", "routes", b.Propagation.Routes, "inPlace", b.Routes, "proxies", proxies)
	p := &results.Propagation{InPlace: b.Routes, Consecutive: b.Propagation.Consecutive, Wrong: map[string]int{}}
	if proxies == 1 {
		p.Consecutive = 1
	}
	var taken samples
	for r := range b.Propagation.Routes {
		if err := b.probe(ctx, address, r, p, &taken); err != nil {
			return summarize(p, taken), errors.Join(err, b.Stage.DeleteProbeRoutes(ctx, b.Propagation.Routes))
		}
		if (r+1)%tellEvery == 0 {
			d := stats.Summarize(taken.first)
			b.Log.Info("propagation", "done", r+1, "p50Ms", d.P50, "maxMs", d.Max, "wrong", probe.Sum(p.Wrong))
		}
	}
	return summarize(p, taken), b.Stage.DeleteProbeRoutes(ctx, b.Propagation.Routes)
}

// probe is one route.
func (b *Bench) probe(ctx context.Context, address string, r int, p *results.Propagation, taken *samples) error {
	client := probe.NewFresh(b.RequestTimeout)
	target := probe.Target{Address: address, Host: stage.ProbeHost(r), Path: stage.ProbePath(r)}
	until := probe.Until{
		Get:         func(ctx context.Context) probe.Answer { return client.Get(ctx, target) },
		Judge:       probe.JudgeNew(func(a probe.Answer) error { return checkProbe(a, target, stage.ProbeValue(r)) }),
		Every:       b.Propagation.Every,
		Consecutive: p.Consecutive,
		Limit:       b.Propagation.Limit,
	}
	sent := time.Now()
	if err := b.Stage.MakeProbeRoute(ctx, r); err != nil {
		return err
	}
	returned := time.Now()
	out, err := until.Run(ctx, returned)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.Routes++
	p.Requests += out.Requests
	p.NotYet += out.NotYet
	p.NotYetAfterFirst += out.NotYetAfterFirst
	for name, n := range out.Wrong {
		p.Wrong[name] += n
	}
	taken.apply = append(taken.apply, returned.Sub(sent))
	if out.First > 0 {
		taken.first = append(taken.first, out.First)
		taken.answer = append(taken.answer, out.Took)
	}
	if err == nil {
		taken.settled = append(taken.settled, out.Settled)
		return nil
	}
	p.Unanswered++
	b.Log.Warn("route did not answer right", "route", r, "error", err)
	if p.Unanswered >= giveUpAfter {
		return fmt.Errorf("%d routes never answered right; the last: %w", p.Unanswered, err)
	}
	return nil
}

// checkProbe tells whether a 200 is the answer that the route asks for: the right backend behind the right rule, with both filters.
func checkProbe(a probe.Answer, target probe.Target, value string) error {
	switch {
	case a.Echo.Service != stage.PortA.Name:
		return errors.New("not from the backend")
	case a.Echo.Host != target.Host || a.Echo.Path != target.Path:
		return errors.New("answer to another request")
	case a.Header.Get(stage.ResponseHeader) != value:
		return errors.New("without the response header")
	case len(a.Echo.Headers[stage.RequestHeader]) != 1 || a.Echo.Headers[stage.RequestHeader][0] != value:
		return errors.New("without the request header")
	}
	return nil
}

func summarize(p *results.Propagation, taken samples) *results.Propagation {
	p.First, p.Apply, p.Answer = stats.Summarize(taken.first), stats.Summarize(taken.apply), stats.Summarize(taken.answer)
	if p.Consecutive > 1 {
		settled := stats.Summarize(taken.settled)
		p.Settled = &settled
	}
	return p
}

package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/switchyard/switchyard/epp/bench/wire"
)

// bench is what rows are measured with.
type bench struct {
	program, envoy string
	servers        *modelServers
	seconds        time.Duration // of each row's measured part
	limit          time.Duration // of what comes before it, each
}

// Rates that this process can drive beside what it measures, for each core of the machine, in requests per second. Beyond them the
// driver, the simulated servers and the proxy would take the processor from each other.
const (
	drivenPicks    = 100.
	drivenWhole    = 50.
	drivenWhole10k = 100.
	drivenStreamed = 12.
)

// driven is the rate at which a row is measured.
func (r row) driven() float64 {
	most := drivenPicks
	switch {
	case r.Streamed:
		most = drivenStreamed
	case r.Kind == kindProxy && r.In <= 10_000:
		most = drivenWhole10k
	case r.Kind == kindProxy:
		most = drivenWhole
	}
	return min(r.Rate, most*float64(runtime.NumCPU()))
}

// measure runs one row.
func (b *bench) measure(ctx context.Context, r row) (result, error) {
	dir, err := os.MkdirTemp("", "sizing-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.servers.running.Store(int64(r.driven()*r.hold().Seconds()) / servers)
	b.servers.streams.Store(r.Streamed)
	blocks := r.Blocks
	if r.Kind == kindProxy {
		blocks = defaultBlocks
	}
	p, err := startPicker(ctx, b.program, dir, blocks*tableBlock, b.servers.port)
	if err != nil {
		return result{}, err
	}
	defer p.stop()
	out := result{Row: r.name()}
	if out.IdleBytes, _, err = p.memory(); err != nil {
		return result{}, err
	}
	switch r.Kind {
	case kindIdle:
		err = b.measureIdle(ctx, p, &out)
	case kindEPP:
		err = b.measurePicker(ctx, p, r, &out)
	default:
		err = b.measureProxy(ctx, p, dir, r, &out)
	}
	return out, err
}

// defaultBlocks is the default of what is matched, in blocks of the tables.
const defaultBlocks = 131_072 / tableBlock

// hold is how long an answer takes.
func (r row) hold() time.Duration { return time.Duration(r.Out) * tokenTime }

func (b *bench) measureIdle(ctx context.Context, p *picker, out *result) error {
	got, err := p.watch(ctx, b.seconds)
	out.Seconds, out.MeanCores, out.PeakCores = b.seconds.Seconds(), got.mean, got.peak
	if err == nil {
		out.HeldBytes, out.PeakBytes, err = p.memory()
	}
	return err
}

func (b *bench) measurePicker(ctx context.Context, p *picker, r row, out *result) error {
	conns, err := dialPicker(p)
	if err != nil {
		return err
	}
	for _, conn := range conns {
		defer conn.Close()
	}
	if err := fill(ctx, conns, r.matched(), b.limit); err != nil {
		return fmt.Errorf("filling the index: %w", err)
	}
	l := &load{}
	l.requester = &streams{load: l, conns: conns, prompt: newPrompt(r.In, wire.Body), talks: newTalks(r.Rate),
		trailers: wire.Trailers(uint64(r.In), uint64(r.Out))}
	return b.measureLoad(ctx, p.process, p, l, r, out)
}

func (b *bench) measureProxy(ctx context.Context, p *picker, dir string, r row, out *result) error {
	envoy, err := startProxy(b.envoy, dir, p.ports.xds)
	if err != nil {
		return err
	}
	defer envoy.stop()
	l := &load{}
	c := newClients(l, b.servers, p.ports.listen, r)
	l.requester = c
	if err := c.answered(ctx, envoy.alive); err != nil {
		return err
	}
	if out.IdleBytes, _, err = envoy.memory(); err != nil {
		return err
	}
	return b.measureLoad(ctx, envoy, p, l, r, out)
}

// measureLoad measures a process, which is the picker or asks it, under a row's load.
func (b *bench) measureLoad(ctx context.Context, measured *process, p *picker, l *load, r row, out *result) error {
	rate, hold := r.driven(), r.hold()
	if _, err := l.prefill(ctx, rate, hold, 4, b.limit); err != nil {
		return fmt.Errorf("bringing requests into flight: %w", err)
	}
	before, err := p.scheduled()
	if err != nil {
		return err
	}
	began := make(chan int, 1)
	go func() { began <- l.steady(ctx, rate, hold, b.seconds+time.Second) }()
	out.Flights = int(l.flights.Load())
	got, err := measured.watch(ctx, b.seconds)
	if err != nil {
		return err
	}
	if out.HeldBytes, out.PeakBytes, err = measured.memory(); err != nil {
		return err
	}
	out.Flights = max(out.Flights, int(l.flights.Load()))
	now, err := p.state()
	if err != nil {
		return err
	}
	requests := <-began
	if err := l.failed(); err != nil {
		return err
	}
	after, err := p.scheduled()
	if err != nil {
		return err
	}
	out.Rate = float64(requests) / (b.seconds + time.Second).Seconds()
	out.Requests, out.Seconds = requests, b.seconds.Seconds()
	out.MeanCores, out.PeakCores = got.mean, got.peak
	out.WaitP50, out.WaitP95 = l.quantile(.5).Seconds()*1000, l.quantile(.95).Seconds()*1000
	out.SchedulerP50 = median(before, after) * 1000
	out.IndexEntries = now.Pools[0].PrefixEntries
	out.Picked = min(1, float64(after.GetSampleCount()-before.GetSampleCount())/float64(requests))
	return nil
}

package epp

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/director"
	"github.com/switchyard/switchyard/epp/extproc"
	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/flowcontrol/saturation"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// generation is the picker's work under one configuration: the service that streams reach, and the series and the goroutines of
// its plugins. A stream stays with the generation that it began with.
type generation struct {
	config *config.Config
	// series are those that come and go with the configuration.
	series *prometheus.Registry
	desc   *grpc.ServiceDesc
	server any
}

// newGeneration makes the service of a configuration. It starts nothing.
func (e *EPP) newGeneration(c *config.Config) (*generation, error) {
	g := &generation{config: c, series: prometheus.NewRegistry()}
	for _, declared := range c.Plugins {
		measured, ok := declared.Plugin.(scheduling.Measured)
		if !ok {
			continue
		}
		if err := registerAll(g.series, measured.Collectors()...); err != nil {
			return nil, fmt.Errorf("plugin %q: registering metrics: %w", declared.Name, err)
		}
	}
	flow, err := e.flowOf(c)
	if err != nil {
		return nil, err
	}
	extproc.New(extproc.Options{
		Director: director.New(director.Options{
			Pools: e.options.Pools, Config: c, Metrics: e.series, Rules: e.options.Rules, Flow: flow, Scores: e.options.Scores,
			Tracer: e.options.Tracer,
		}),
		Config: c, DefaultPool: e.options.DefaultPool, MaxBody: e.options.MaxBody, Logger: e.options.Logger,
	}).Register(g)
	return g, nil
}

// flowOf is the queues before the pools as a configuration wants them, nil when it wants none. There is one set of them in the life of a
// picker: what waits goes on waiting when the configuration changes.
func (e *EPP) flowOf(c *config.Config) (*flowcontrol.Controller, error) {
	if c.FlowControl == nil {
		return nil, nil
	}
	read := saturation.Reader(e.options.Pools, c.Detector)
	known := e.flow.Load()
	if known != nil {
		return known, c.FlowControl.Configure(known, read)
	}
	made, err := c.FlowControl.New(read, e.options.Registry)
	if err != nil {
		return nil, err
	}
	e.flow.Store(made)
	return made, nil
}

// RegisterService implements grpc.ServiceRegistrar: it takes the service as a server would.
func (g *generation) RegisterService(desc *grpc.ServiceDesc, server any) {
	g.desc, g.server = desc, server
}

// runPlugins has the plugins do their own work until ctx ends. An error of one does not end the others.
func (e *EPP) runPlugins(ctx context.Context, g *generation) {
	done := make(chan struct{})
	started := 0
	for _, declared := range g.config.Plugins {
		runner, ok := declared.Plugin.(scheduling.Runner)
		if !ok {
			continue
		}
		started++
		go func() {
			defer func() { done <- struct{}{} }()
			if err := runner.Run(ctx, e.options.Pools); err != nil && !errors.Is(err, context.Canceled) {
				e.options.Logger.Error("a plugin has stopped working; requests go on without what it knows",
					"plugin", declared.Name, "type", declared.Type, "error", err)
			}
		}()
	}
	for ; started > 0; started-- {
		<-done
	}
}

// runGenerations runs the plugins of the generation in force, whichever that is, until ctx ends.
func (e *EPP) runGenerations(ctx context.Context) {
	for ctx.Err() == nil {
		running, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		g := e.streams.current.Load()
		go func() {
			defer close(done)
			e.runPlugins(running, g)
		}()
		select {
		case <-e.swapped:
		case <-ctx.Done():
		}
		stop()
		<-done
	}
}

// currentSeries are those of the generation in force, whichever that is when they are read.
type currentSeries struct{ streams *streams }

// Describe implements prometheus.Collector. It tells nothing, since what there is changes.
func (currentSeries) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c currentSeries) Collect(out chan<- prometheus.Metric) {
	if g := c.streams.current.Load(); g != nil {
		g.series.Collect(out)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/internal/pipeline"
	"github.com/switchyard/switchyard/internal/source"
)

// runEPP serves until the command's context ends, then drains.
func runEPP(cmd *cobra.Command, flags *eppFlags) error {
	log, err := flags.log.open(cmd)
	if err != nil {
		return err
	}
	cfg, err := flags.config()
	if err != nil {
		return err
	}
	objects, err := flags.objects(log)
	if err != nil {
		return err
	}
	security, err := flags.security(log)
	if err != nil {
		return err
	}
	scrape := datalayer.Options{Logger: log}
	cfg.Apply(&scrape)
	pools := datalayer.New(scrape)
	picker, err := epp.New(epp.Options{
		Pools: pools, Config: cfg, DefaultPool: flags.defaultPool(), Synced: flags.synced(pools),
		DrainTimeout: flags.drain, WithoutHealth: !flags.healthChecking, Logger: log,
	})
	if err != nil {
		return err
	}
	listeners, err := flags.listen()
	if err != nil {
		return err
	}
	store := source.NewStore()
	loop := pipeline.New(pipeline.Options{Store: store, Pools: flags.followed(pools), Log: log})
	health := grpc.NewServer()
	picker.RegisterHealth(health)
	rpc := picker.GRPCServer(security...)
	page := &http.Server{Handler: picker.Handler(), ReadHeaderTimeout: 5 * time.Second}

	background, cancel := context.WithCancel(context.Background())
	defer cancel()
	group, background := errgroup.WithContext(background)
	group.Go(func() error { return objects.Run(background, store) })
	group.Go(func() error { return loop.Run(background) })
	group.Go(func() error { return picker.Run(background) })
	group.Go(func() error { flags.missPool(background, loop, pools, log); return nil })
	group.Go(func() error { return rpc.Serve(listeners[0]) })
	group.Go(func() error { return health.Serve(listeners[1]) })
	group.Go(func() error {
		if err := page.Serve(listeners[2]); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	log.Info("picking", "ext_proc", listeners[0].Addr().String(), "tls", flags.secureServing,
		"health", listeners[1].Addr().String(), "metrics", listeners[2].Addr().String(), "pool", flags.defaultPool())
	select {
	case <-cmd.Context().Done():
	case <-background.Done():
	}
	log.Info("draining", "within", flags.drain)
	picker.Drain(background)
	health.Stop()
	_ = page.Close()
	cancel()
	return group.Wait()
}

// synced tells whether the named pool is known, or any when none is named.
func (f *eppFlags) synced(pools *datalayer.Pools) func() bool {
	if f.poolName == "" {
		return nil
	}
	key := f.defaultPool()
	return func() bool {
		_, known := pools.Get(key)
		return known
	}
}

// missPool tells the log when there is no pool of the name given, and when it has come.
func (f *eppFlags) missPool(ctx context.Context, loop *pipeline.Pipeline, pools *datalayer.Pools, log *slog.Logger) {
	key := f.defaultPool()
	if key == "" {
		return
	}
	missed := false
	for {
		result, changed := loop.Latest()
		_, known := pools.Get(key)
		switch {
		case result == nil:
		case !known && !missed:
			missed = true
			log.Warn("not ready: there is no InferencePool of this name; create it, or correct --pool-name and --pool-namespace", "pool", key)
		case known && missed:
			missed = false
			log.Info("the InferencePool is there", "pool", key)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// listen opens the ports of ext_proc, health and metrics, all or none.
func (f *eppFlags) listen() ([]net.Listener, error) {
	var out []net.Listener
	for _, p := range []struct {
		flag string
		port int
	}{{"grpc-port", f.grpcPort}, {"grpc-health-port", f.healthPort}, {"metrics-port", f.metricsPort}} {
		l, err := net.Listen("tcp", net.JoinHostPort(f.address(), strconv.Itoa(p.port)))
		if err != nil {
			for _, open := range out {
				_ = open.Close()
			}
			return nil, fmt.Errorf("--%s: %w", p.flag, err)
		}
		out = append(out, l)
	}
	return out, nil
}

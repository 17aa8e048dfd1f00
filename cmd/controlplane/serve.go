//go:build !quickstart

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/switchyard/switchyard/epp/tracing/export"
	"github.com/switchyard/switchyard/internal/source/file"
	"github.com/switchyard/switchyard/internal/stack"
)

// serveFlags are those of both modes; clusterFlags those of one.
type serveFlags struct {
	stack      stack.Options
	manifests  string
	pickers    []string
	configFile string
	cluster    clusterFlags
}

func newServe() *cobra.Command {
	var flags serveFlags
	cmd := &cobra.Command{
		Use:   "serve [-f DIR]",
		Short: "Serve xDS to proxies, from a cluster or from a folder of manifests",
		Long: `Serves each Gateway's view over delta ADS to the proxies that name the Gateway (namespace/name) in node.cluster,
and picks endpoints itself unless --picker says where others are. Traces go where OTEL_EXPORTER_OTLP_ENDPOINT says.

Without -f, objects come from the Kubernetes cluster that the process runs on, or the one that --kubeconfig names.
Each Gateway of our class then gets a fleet of proxies, statuses are written by the leader among the replicas,
and xDS is mutual TLS: a proxy is given the view of the Gateway in its certificate.

With -f, objects come from a folder of manifests, which is watched. Proxies are whoever connects.`,
		Example: `  controlplane serve --service switchyard --image registry.example/switchyard:1.0
  controlplane serve -f manifests --xds-address 0.0.0.0:18000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.run(cmd) },
	}
	manifestsFlag(cmd, &flags.manifests, "")
	f := cmd.Flags()
	o := &flags.stack
	f.StringVar(&o.XDS, "xds-address", "127.0.0.1:18000", "where proxies get their configuration")
	f.StringVar(&o.Admin, "admin-address", "127.0.0.1:19000", "where /metrics, /healthz, /readyz, /debug/xds and /debug/epp are")
	f.StringVar(&o.Picker, "picker-address", "127.0.0.1:9002", "where the embedded endpoint picker listens; empty for none")
	f.StringSliceVar(&flags.pickers, "picker", nil, "addresses (IP:PORT) of the endpoint pickers that proxies ask; default: the embedded one")
	f.StringVar(&flags.configFile, "config-file", "", "EndpointPickerConfig of the embedded picker")
	f.StringVar(&o.Translate.Envoy.BindAddress, "bind-address", "0.0.0.0", "address on which proxies open their listeners")
	f.Uint64Var(&o.Translate.Envoy.MaxRequestBytes, "max-request-bytes", 64<<20, "largest request body that a pool accepts; larger ones are answered 413")
	f.DurationVar(&o.Drain, "drain-timeout", 30*time.Second, "how long streams may go on after SIGTERM")
	flags.cluster.add(f)
	return cmd
}

func (f *serveFlags) run(cmd *cobra.Command) error {
	var err error
	if f.stack.Pickers, err = parseAddresses("picker", f.pickers); err != nil {
		return err
	}
	if f.stack.PickerConfig, err = loadPickerConfig(f.configFile); err != nil {
		return err
	}
	f.stack.Log = newLog(cmd, false)
	f.stack.Registry = prometheus.NewRegistry()
	traces, err := export.Start(version, f.stack.Log)
	if err != nil {
		f.stack.Log.Error("there are no traces; correct the environment", "error", err)
	}
	defer traces.Stop()
	f.stack.Tracer = traces.Tracer()
	if f.manifests == "" {
		return f.serveCluster(cmd.Context())
	}
	if err := f.cluster.refuse(cmd.Flags()); err != nil {
		return err
	}
	if _, err := os.Stat(f.manifests); err != nil {
		return fmt.Errorf("-f: %w", err)
	}
	f.stack.Source = file.New(f.manifests, f.stack.Log)
	s, err := stack.Start(f.stack)
	if err != nil {
		return err
	}
	f.stack.Log.Info("serving", "xds", s.XDSAddr, "admin", s.AdminAddr, "picker", s.PickerAddr, "manifests", f.manifests)
	waitForEnd(cmd.Context(), s)
	return s.Stop()
}

// serveCluster serves from a cluster until ctx is done.
func (f *serveFlags) serveCluster(ctx context.Context) error {
	c, err := f.cluster.connect(ctx, f.stack.Log, f.stack.Registry)
	if err != nil {
		return err
	}
	c.Apply(&f.stack)
	s, err := stack.Start(f.stack)
	if err != nil {
		return err
	}
	f.stack.Log.Info("serving", "xds", s.XDSAddr, "admin", s.AdminAddr, "picker", s.PickerAddr, "service", f.cluster.service)
	leading, giveUp := context.WithCancel(ctx)
	led := make(chan error, 1)
	go func() {
		defer giveUp()
		led <- c.Run(leading, s.Pipeline)
	}()
	waitForEnd(leading, s)
	// The lease is given up first: another replica leads while this one drains.
	giveUp()
	return errors.Join(<-led, s.Stop())
}

// waitForEnd waits until the end is asked for, or a part has failed.
func waitForEnd(ctx context.Context, s *stack.Stack) {
	select {
	case <-ctx.Done():
	case <-s.Failed():
	}
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/internal/stack"
)

func newServe() *cobra.Command {
	opts := stack.Options{}
	var pickers []string
	var configFile string
	cmd := &cobra.Command{
		Use:   "serve -f DIR",
		Short: "Serve xDS to proxies from a folder of manifests",
		Long: `Reads a folder of manifests, watches it, and serves each Gateway's view over delta ADS to the proxies that name
the Gateway (namespace/name) in node.cluster. Picks endpoints itself unless --picker says where others are.`,
		Example: "  controlplane serve -f manifests --xds-address 0.0.0.0:18000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if opts.Pickers, err = parseAddresses("picker", pickers); err != nil {
				return err
			}
			if opts.PickerConfig, err = loadPickerConfig(configFile); err != nil {
				return err
			}
			if _, err := os.Stat(opts.Manifests); err != nil {
				return fmt.Errorf("-f: %w", err)
			}
			opts.Log = newLog(cmd, false)
			return serve(cmd.Context(), opts)
		},
	}
	manifestsFlag(cmd, &opts.Manifests, "")
	f := cmd.Flags()
	f.StringVar(&opts.XDS, "xds-address", "127.0.0.1:18000", "where proxies get their configuration")
	f.StringVar(&opts.Admin, "admin-address", "127.0.0.1:19000", "where /metrics, /healthz, /readyz, /debug/xds and /debug/epp are")
	f.StringVar(&opts.Picker, "picker-address", "127.0.0.1:9002", "where the embedded endpoint picker listens; empty for none")
	f.StringSliceVar(&pickers, "picker", nil, "addresses (IP:PORT) of the endpoint pickers that proxies ask; default: the embedded one")
	f.StringVar(&configFile, "config-file", "", "EndpointPickerConfig of the embedded picker")
	f.StringVar(&opts.Translate.Envoy.BindAddress, "bind-address", "0.0.0.0", "address on which proxies open their listeners")
	f.Uint64Var(&opts.Translate.Envoy.MaxRequestBytes, "max-request-bytes", 64<<20, "largest request body that a pool accepts; larger ones are answered 413")
	f.DurationVar(&opts.Drain, "drain-timeout", 30*time.Second, "how long streams may go on after SIGTERM")
	_ = cmd.MarkFlagRequired("filename")
	return cmd
}

func serve(ctx context.Context, opts stack.Options) error {
	s, err := stack.Start(opts)
	if err != nil {
		return err
	}
	opts.Log.Info("serving", "xds", s.XDSAddr, "admin", s.AdminAddr, "picker", s.PickerAddr, "manifests", opts.Manifests)
	select {
	case <-ctx.Done():
		opts.Log.Info("stopping", "within", opts.Drain)
	case <-s.Failed():
	}
	return s.Stop()
}

// loadPickerConfig reads an EndpointPickerConfig; no file means the default.
func loadPickerConfig(path string) (*config.Config, error) {
	if path == "" {
		return config.Default(), nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--config-file: %w", err)
	}
	cfg, err := config.Load(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, w := range cfg.Warnings {
		slog.Warn("endpoint picker configuration", "file", path, "warning", w)
	}
	return cfg, nil
}

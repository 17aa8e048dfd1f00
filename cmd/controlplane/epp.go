package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/internal/pipeline"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/file"
)

type eppFlags struct {
	manifests     string
	bind          string
	grpcPort      int
	healthPort    int
	metricsPort   int
	poolName      string
	poolNamespace string
	configFile    string
	configText    string
	drain         time.Duration
}

func newEPP() *cobra.Command {
	var flags eppFlags
	cmd := &cobra.Command{
		Use:   "epp -f DIR",
		Short: "Run the endpoint picker alone",
		Long: `Serves ext_proc for the InferencePools of a folder of manifests, over the Endpoint Picker Protocol and, to
proxies that Switchyard configured, over its lean form. Proxies say which pool they mean; for those that do
not, name one with --pool-name unless there is only one.`,
		Example: "  controlplane epp -f manifests --grpc-port 9002",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runEPP(cmd, &flags) },
	}
	manifestsFlag(cmd, &flags.manifests, "")
	f := cmd.Flags()
	f.StringVar(&flags.bind, "bind-address", "127.0.0.1", "address to listen on")
	f.IntVar(&flags.grpcPort, "grpc-port", 9002, "port of ext_proc, which also answers gRPC health")
	f.IntVar(&flags.healthPort, "grpc-health-port", 9003, "port of gRPC health alone")
	f.IntVar(&flags.metricsPort, "metrics-port", 9090, "port of /metrics and /debug/epp")
	f.StringVar(&flags.poolName, "pool-name", "", "InferencePool of proxies that name none")
	f.StringVar(&flags.poolNamespace, "pool-namespace", "", "its namespace; default: the environment's NAMESPACE, else default")
	f.StringVar(&flags.configFile, "config-file", "", "EndpointPickerConfig")
	f.StringVar(&flags.configText, "config-text", "", "EndpointPickerConfig, given here instead of in a file")
	f.DurationVar(&flags.drain, "drain-timeout", epp.DefaultDrainTimeout, "how long to go on serving after SIGTERM")
	_ = cmd.MarkFlagRequired("filename")
	cmd.MarkFlagsMutuallyExclusive("config-file", "config-text")
	return cmd
}

func runEPP(cmd *cobra.Command, flags *eppFlags) error {
	cfg, err := flags.config()
	if err != nil {
		return err
	}
	if _, err := os.Stat(flags.manifests); err != nil {
		return fmt.Errorf("-f: %w", err)
	}
	log := newLog(cmd, false)
	scrape := datalayer.Options{Logger: log}
	cfg.Apply(&scrape)
	pools := datalayer.New(scrape)
	picker, err := epp.New(epp.Options{
		Pools: pools, Config: cfg, DefaultPool: flags.defaultPool(), DrainTimeout: flags.drain, Logger: log,
	})
	if err != nil {
		return err
	}
	listeners, err := flags.listen()
	if err != nil {
		return err
	}
	store := source.NewStore()
	loop := pipeline.New(pipeline.Options{Store: store, Pools: pools, Log: log})
	health := grpc.NewServer()
	picker.RegisterHealth(health)
	rpc := picker.GRPCServer()
	page := &http.Server{Handler: picker.Handler(), ReadHeaderTimeout: 5 * time.Second}

	background, cancel := context.WithCancel(context.Background())
	group, background := errgroup.WithContext(background)
	group.Go(func() error { return file.New(flags.manifests, log).Run(background, store) })
	group.Go(func() error { return loop.Run(background) })
	group.Go(func() error { return picker.Run(background) })
	group.Go(func() error { return rpc.Serve(listeners[0]) })
	group.Go(func() error { return health.Serve(listeners[1]) })
	group.Go(func() error {
		if err := page.Serve(listeners[2]); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	log.Info("picking", "ext_proc", listeners[0].Addr(), "health", listeners[1].Addr(), "metrics", listeners[2].Addr())
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

func (f *eppFlags) config() (*config.Config, error) {
	if f.configText == "" {
		return loadPickerConfig(f.configFile)
	}
	cfg, err := config.Load([]byte(f.configText))
	if err != nil {
		return nil, fmt.Errorf("--config-text: %w", err)
	}
	return cfg, nil
}

func (f *eppFlags) defaultPool() string {
	if f.poolName == "" {
		return ""
	}
	namespace := f.poolNamespace
	if namespace == "" {
		namespace = os.Getenv("NAMESPACE")
	}
	if namespace == "" {
		namespace = "default"
	}
	return namespace + "/" + f.poolName
}

// listen opens the ports of ext_proc, health and metrics, all or none.
func (f *eppFlags) listen() ([]net.Listener, error) {
	var out []net.Listener
	for _, p := range []struct {
		flag string
		port int
	}{{"grpc-port", f.grpcPort}, {"grpc-health-port", f.healthPort}, {"metrics-port", f.metricsPort}} {
		l, err := net.Listen("tcp", net.JoinHostPort(f.bind, strconv.Itoa(p.port)))
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

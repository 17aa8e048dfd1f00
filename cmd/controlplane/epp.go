package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/config"
)

type eppFlags struct {
	manifests  string
	kubeconfig string

	bind        string
	grpcPort    int
	healthPort  int
	metricsPort int

	poolName      string
	poolNamespace string
	poolGroup     string

	configFile string
	configText string

	secureServing  bool
	certPath       string
	certReload     bool
	healthChecking bool

	log   eppLogFlags
	drain time.Duration
}

// poolGroupV1 is the only API group whose InferencePools are read.
const poolGroupV1 = "inference.networking.k8s.io"

func newEPP() *cobra.Command {
	var flags eppFlags
	cmd := &cobra.Command{
		Use:   "epp",
		Short: "Run the endpoint picker alone",
		Long: `Serves ext_proc over the Endpoint Picker Protocol and, to proxies that Switchyard configured, over its lean form.

On a cluster it follows one InferencePool, named by --pool-name and --pool-namespace, and the Pods of its namespace;
it needs to get, list and watch those two kinds there. The cluster is that of --kubeconfig, of the environment's
KUBECONFIG, or the one whose pod this runs in.

With -f it serves the InferencePools of a folder of manifests. Proxies then say which pool they mean; for those that do
not, name one with --pool-name unless there is only one.

Proxies that "serve --picker" sends here speak plain HTTP/2: give --secure-serving=false for those.`,
		Example: `  controlplane epp --pool-name llama --pool-namespace models
  controlplane epp -f manifests --secure-serving=false`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.validate(); err != nil {
				return err
			}
			return runEPP(cmd, &flags)
		},
	}
	manifestsFlag(cmd, &flags.manifests, "")
	f := cmd.Flags()
	f.StringVar(&flags.kubeconfig, "kubeconfig", "", "how to reach the cluster; default: the environment's KUBECONFIG, else the pod's own")
	f.StringVar(&flags.bind, "bind-address", "", "address to listen on; default: all on a cluster, 127.0.0.1 with -f")
	f.IntVar(&flags.grpcPort, "grpc-port", 9002, "port of ext_proc, which also answers gRPC health")
	f.IntVar(&flags.healthPort, "grpc-health-port", 9003, "port of gRPC health alone, never TLS")
	f.IntVar(&flags.metricsPort, "metrics-port", 9090, "port of /metrics and /debug/epp")
	f.StringVar(&flags.poolName, "pool-name", "", "InferencePool to follow; with -f: the one of proxies that name none")
	f.StringVar(&flags.poolNamespace, "pool-namespace", "", "its namespace; default: the environment's NAMESPACE, else default")
	f.StringVar(&flags.poolGroup, "pool-group", poolGroupV1, "its API group")
	f.StringVar(&flags.configFile, "config-file", "", "EndpointPickerConfig")
	f.StringVar(&flags.configText, "config-text", "", "EndpointPickerConfig, given here instead of in a file")
	f.BoolVar(&flags.secureServing, "secure-serving", true, "TLS on the port of ext_proc; false: plain HTTP/2")
	f.StringVar(&flags.certPath, "cert-path", "", "folder with tls.crt and tls.key; default: a self-signed certificate, made at start")
	f.BoolVar(&flags.certReload, "enable-cert-reload", true, "follow changes of the files in --cert-path")
	f.BoolVar(&flags.healthChecking, "health-checking", true, "answer gRPC health on the port of ext_proc too")
	f.DurationVar(&flags.drain, "drain-timeout", epp.DefaultDrainTimeout, "how long to go on serving after SIGTERM")
	flags.log.register(f)
	cmd.MarkFlagsMutuallyExclusive("config-file", "config-text")
	cmd.MarkFlagsMutuallyExclusive("filename", "kubeconfig")
	return cmd
}

// validate checks what flags say about each other; ports and files are checked where they are opened.
func (f *eppFlags) validate() error {
	if f.poolGroup != poolGroupV1 {
		return fmt.Errorf("--pool-group: %q is not supported, use %s", f.poolGroup, poolGroupV1)
	}
	if f.certPath != "" && !f.secureServing {
		return errors.New("--cert-path has no use with --secure-serving=false; leave one of them out")
	}
	if f.manifests == "" && f.poolName == "" {
		return errors.New("nothing to pick from: name the InferencePool with --pool-name (and --pool-namespace) on a cluster, or a folder of manifests with -f")
	}
	if f.manifests != "" {
		if _, err := os.Stat(f.manifests); err != nil {
			return fmt.Errorf("-f: %w", err)
		}
	}
	return nil
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

// namespace is that of the pool.
func (f *eppFlags) namespace() string {
	for _, namespace := range []string{f.poolNamespace, os.Getenv("NAMESPACE")} {
		if namespace != "" {
			return namespace
		}
	}
	return "default"
}

// defaultPool is the pool of proxies that name none, empty when no pool is named.
func (f *eppFlags) defaultPool() string {
	if f.poolName == "" {
		return ""
	}
	return f.namespace() + "/" + f.poolName
}

// address is where to listen: a picker of a folder is for this machine unless told otherwise.
func (f *eppFlags) address() string {
	if f.bind == "" && f.manifests != "" {
		return "127.0.0.1"
	}
	return f.bind
}

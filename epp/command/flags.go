package command

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/certificate"
)

type pickerFlags struct {
	manifests  string
	kubeconfig string

	bind        string
	grpcPort    int
	healthPort  int
	metricsPort int

	pool   poolFlags
	config configFlags
	scrape scrapeFlags
	page   pageFlags
	rpc    rpcFlags
	proxy  proxyFlags

	secureServing  bool
	certPath       string
	certReload     bool
	minVersion     string
	suites         []string
	healthChecking bool
	leaderElection bool
	tracing        bool

	log   logFlags
	drain time.Duration
}

func (f *pickerFlags) register(set *pflag.FlagSet) {
	set.StringVar(&f.kubeconfig, "kubeconfig", "", "how to reach the cluster; default: the environment's KUBECONFIG, else the pod's own")
	set.StringVar(&f.bind, "bind-address", "", "address to listen on; default: all on a cluster, 127.0.0.1 with -f")
	set.IntVar(&f.grpcPort, "grpc-port", 9002, "port of ext_proc, which also answers gRPC health")
	set.IntVar(&f.healthPort, "grpc-health-port", 9003, "port of gRPC health alone, never TLS")
	set.IntVar(&f.metricsPort, "metrics-port", 9090, "port of /metrics and /debug")
	set.BoolVar(&f.secureServing, "secure-serving", true, "TLS on the port of ext_proc; false: plain HTTP/2")
	set.StringVar(&f.certPath, "cert-path", "", "folder with tls.crt and tls.key; default: a self-signed certificate, made at start")
	set.BoolVar(&f.certReload, "enable-cert-reload", true, "follow changes of the files in --cert-path")
	set.StringVar(&f.minVersion, "tls-min-version", "", "least version of TLS, such as VersionTLS13; default: VersionTLS12")
	set.StringSliceVar(&f.suites, "tls-cipher-suites", nil, "cipher suites up to TLS 1.2, by their names in Go; default: those of Go")
	set.BoolVar(&f.healthChecking, "health-checking", true, "answer gRPC health on the port of ext_proc too")
	set.BoolVar(&f.leaderElection, "ha-enable-leader-election", false, "one replica is ready at a time: the one that holds the Lease")
	set.DurationVar(&f.drain, "drain-timeout", epp.DefaultDrainTimeout, "how long to go on serving after SIGTERM")
	set.BoolVar(&f.tracing, "tracing", true, "export traces where OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_TRACES_EXPORTER says, with the other OTEL_* variables; without both: none")
	f.pool.register(set)
	f.config.register(set)
	f.scrape.register(set)
	f.page.register(set)
	f.rpc.register(set)
	f.proxy.register(set)
	f.log.register(set)
}

// validate checks what flags say, alone and about each other; ports and files are checked where they are opened.
func (f *pickerFlags) validate(set *pflag.FlagSet) error {
	if f.certPath != "" && !f.secureServing {
		return errors.New("--cert-path has no use with --secure-serving=false; leave one of them out")
	}
	if f.manifests == "" && f.pool.name == "" && f.pool.selector == "" && !f.pool.discovers() {
		return errors.New("nothing to pick from: name the InferencePool with --pool-name (and --pool-namespace), or the pods with " +
			"--endpoint-selector, on a cluster; or a folder of manifests with -f; or a file of endpoints with file-discovery in the configuration")
	}
	if err := f.validateDiscovery(); err != nil {
		return err
	}
	if f.manifests != "" {
		if _, err := os.Stat(f.manifests); err != nil {
			return fmt.Errorf("-f: %w", err)
		}
		if f.leaderElection {
			return errors.New("--ha-enable-leader-election needs a cluster for its Lease; leave out -f, or --ha-enable-leader-election")
		}
	}
	if f.drain < 0 {
		return fmt.Errorf("--drain-timeout: %s is below 0", f.drain)
	}
	if err := f.scrape.validate(set); err != nil {
		return err
	}
	if err := f.pool.validate(); err != nil {
		return err
	}
	if err := f.page.validate(set, f.withoutCluster()); err != nil {
		return err
	}
	if err := f.rpc.validate(); err != nil {
		return err
	}
	if err := f.validateProxies(set); err != nil {
		return err
	}
	_, err := f.limits()
	return err
}

// limits are what of TLS is spoken on the ports that have it.
func (f *pickerFlags) limits() (certificate.Limits, error) {
	version, err := certificate.ParseVersion(f.minVersion)
	if err != nil {
		return certificate.Limits{}, fmt.Errorf("--tls-min-version: %w", err)
	}
	suites, err := certificate.ParseSuites(f.suites)
	if err != nil {
		return certificate.Limits{}, fmt.Errorf("--tls-cipher-suites: %w", err)
	}
	return certificate.Limits{MinVersion: version, Suites: suites}, nil
}

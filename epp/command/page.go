package command

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"github.com/switchyard/switchyard/epp/certificate"
	"github.com/switchyard/switchyard/epp/secure"
)

// pageFlags say who may read /metrics and /debug, and how.
type pageFlags struct {
	auth      bool
	certDir   string
	clientCA  string
	profiling bool
	legacy    bool
}

func (p *pageFlags) register(set *pflag.FlagSet) {
	set.BoolVar(&p.auth, "metrics-endpoint-auth", true, "ask the cluster whether the bearer token of a request may read the page; without a cluster: false")
	set.StringVar(&p.certDir, "metrics-cert-dir", "", "folder with tls.crt and tls.key for the port of /metrics; default: plain HTTP")
	set.StringVar(&p.clientCA, "metrics-client-ca-file", "", "authorities (PEM) of which clients of that port need a certificate")
	set.BoolVar(&p.legacy, "legacy-metrics", false, "show the metrics under the names of earlier llm-d Router versions, too, for dashboards that ask for those")
	set.BoolVar(&p.profiling, "enable-pprof", true, "serve /debug/pprof on the port of /metrics")
}

// validate also turns off authentication that was not asked for where there is no cluster.
func (p *pageFlags) validate(set *pflag.FlagSet, withoutCluster bool) error {
	if withoutCluster {
		if set.Changed("metrics-endpoint-auth") && p.auth {
			return errors.New("--metrics-endpoint-auth asks a cluster about tokens, and with -f or file discovery there is none; leave it out, " +
				"and use --metrics-client-ca-file to let in certain clients only")
		}
		p.auth = false
	}
	if p.clientCA != "" && p.certDir == "" {
		return errors.New("--metrics-client-ca-file needs TLS; give --metrics-cert-dir too")
	}
	if p.certDir != "" && p.clientCA == "" && !p.auth {
		return errors.New("--metrics-cert-dir encrypts the page and lets everybody read it; give --metrics-client-ca-file too" +
			", or leave --metrics-endpoint-auth on")
	}
	return nil
}

// serve makes the server of the pages and opens what it serves on. config is that of the cluster, nil without one.
func (f *pickerFlags) servePages(pages http.Handler, listener net.Listener, config *rest.Config, log *slog.Logger) (*http.Server, func() error, error) {
	if f.page.auth {
		reviewer, err := newTokenReviewer(config)
		if err != nil {
			return nil, nil, err
		}
		pages = secure.NewGuard(reviewer, log).Wrap(pages)
	}
	// No WriteTimeout: profiles take as long as was asked for.
	server := &http.Server{Handler: pages, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	if f.page.certDir == "" {
		return server, func() error { return server.Serve(listener) }, nil
	}
	files, err := certificate.Load(f.page.certDir, log)
	if err != nil {
		return nil, nil, fmt.Errorf("--metrics-cert-dir: %w", err)
	}
	var clients *certificate.Clients
	if f.page.clientCA != "" {
		if clients, err = certificate.LoadClients(f.page.clientCA, log); err != nil {
			return nil, nil, fmt.Errorf("--metrics-client-ca-file: %w", err)
		}
	}
	limits, err := f.limits()
	if err != nil {
		return nil, nil, err
	}
	server.TLSConfig = certificate.PageConfig(files.Get, limits, clients)
	return server, func() error { return server.ServeTLS(listener, "", "") }, nil
}

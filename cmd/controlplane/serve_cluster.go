//go:build !quickstart

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/switchyard/switchyard/internal/apiserver"
	"github.com/switchyard/switchyard/internal/cluster"
	"github.com/switchyard/switchyard/internal/source"
)

// clusterFlags are what a control plane needs to know on a cluster.
type clusterFlags struct {
	kubeconfig string
	namespace  string
	namespaces []string
	service    string
	xdsPort    uint16
	pickerPort uint16
	image      string
	proxyImage string

	names []string // of these flags
}

func (f *clusterFlags) add(flags *pflag.FlagSet) {
	own := pflag.NewFlagSet("cluster", pflag.ContinueOnError)
	own.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; default: KUBECONFIG, else the cluster that the process runs on")
	own.StringVar(&f.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the control plane itself; default: the environment's POD_NAMESPACE")
	own.StringSliceVar(&f.namespaces, "namespaces", nil, "look at these namespaces alone; default: all")
	own.StringVar(&f.service, "service", "", "the control plane's own Service, through which proxies find it")
	own.Uint16Var(&f.xdsPort, "service-xds-port", 18000, "its port for xDS")
	own.Uint16Var(&f.pickerPort, "service-picker-port", 9002, "its port for the embedded endpoint picker")
	own.StringVar(&f.image, "image", "", "the control plane's own image, which drains proxies before they end")
	own.StringVar(&f.proxyImage, "proxy-image", "", "image of Envoy for fleets whose parameters name none")
	own.VisitAll(func(flag *pflag.Flag) { f.names = append(f.names, flag.Name) })
	flags.AddFlagSet(own)
}

// refuse says that a flag of cluster mode was given together with -f.
func (f *clusterFlags) refuse(flags *pflag.FlagSet) error {
	var err error
	flags.Visit(func(flag *pflag.Flag) {
		if err == nil && slices.Contains(f.names, flag.Name) {
			err = fmt.Errorf("--%s is for serving from a cluster; leave out -f, or --%s", flag.Name, flag.Name)
		}
	})
	return err
}

// connect reaches the cluster.
func (f *clusterFlags) connect(ctx context.Context, log *slog.Logger, registry *prometheus.Registry) (*cluster.Cluster, error) {
	if f.service == "" {
		return nil, errors.New("--service: name the control plane's own Service, or give -f DIR to serve from a folder of manifests")
	}
	if f.namespace == "" {
		return nil, errors.New("--namespace: name the namespace of the control plane's own Service, or set POD_NAMESPACE")
	}
	if f.image == "" {
		return nil, errors.New("--image: name the control plane's own image; fleets drain with it")
	}
	apiserver.DirectLogs(log)
	config, err := apiserver.Config(f.kubeconfig)
	if err != nil {
		return nil, err
	}
	identity := os.Getenv("POD_NAME")
	if identity == "" {
		if identity, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("finding a name for this replica: %w; set POD_NAME", err)
		}
	}
	return cluster.New(ctx, cluster.Options{
		Config: config, Namespaces: f.namespaces, Identity: identity,
		Service: source.Key{Namespace: f.namespace, Name: f.service},
		XDSPort: f.xdsPort, PickerPort: f.pickerPort, Image: f.image, ProxyImage: f.proxyImage,
		Log: log, Registerer: registry,
	})
}

// Package cluster is what a control plane does on a Kubernetes cluster and nowhere else: objects come from the
// API server, xDS is mutual TLS, and the leader among the replicas writes statuses and keeps each Gateway's
// fleet of proxies. It wires rooms together and decides nothing about what objects mean.
//
//	API server -> Source -> stack.Stack
//	stack.Stack's results -> (leader) statuses, fleets -> API server
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	eventsv1 "k8s.io/client-go/kubernetes/typed/events/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/identity"
	"github.com/switchyard/switchyard/internal/pipeline"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/kube"
	"github.com/switchyard/switchyard/internal/source/llmd"
	"github.com/switchyard/switchyard/internal/stack"
	"github.com/switchyard/switchyard/internal/status"
	"github.com/switchyard/switchyard/proxyfleet/kubernetes"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

// Options say which cluster, and who this replica is on it.
type Options struct {
	Config *rest.Config
	// Namespaces are the only ones that are served; empty means all.
	Namespaces []string
	// Service is the control plane's own Service: proxies find xDS and the endpoint picker through it.
	Service source.Key
	// XDSPort and PickerPort are the Service's.
	XDSPort    uint16
	PickerPort uint16
	// Identity is this replica's own name, unique among replicas: the pod's name.
	Identity string
	// Image is the control plane's own image, which drains proxies; ProxyImage is the fleets' Envoy.
	Image      string
	ProxyImage string
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Cluster is the part of a control plane that talks to the API server.
type Cluster struct {
	opts   Options
	source *kube.Source
	ca     *identity.Authority
	status *status.Writer
	fleets *kubernetes.Reconciler
	events events.EventBroadcaster
}

// New prepares everything, and finds or makes the certificate authority of xDS, which asks the API server.
func New(ctx context.Context, opts Options) (*Cluster, error) {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	writer, err := client.New(opts.Config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reaching the API server at %s: %w", opts.Config.Host, err)
	}
	c := &Cluster{opts: opts}
	if c.source, err = kube.New(kube.Options{
		Config: opts.Config, Namespaces: opts.Namespaces, Own: opts.Service.Namespace, Log: opts.Log, Registerer: opts.Registerer,
	}); err != nil {
		return nil, err
	}
	if c.ca, err = identity.NewAuthority(ctx, identity.AuthorityOptions{
		Client: writer, Secret: source.Key{Namespace: opts.Service.Namespace, Name: identity.CASecret}, DNSNames: c.dnsNames(), Log: opts.Log,
	}); err != nil {
		return nil, err
	}
	c.status = status.New(status.Options{
		Client: writer, Controller: gatewayapi.ControllerName, Registerer: opts.Registerer, Log: opts.Log,
	})
	recorder, err := eventsv1.NewForConfig(opts.Config)
	if err != nil {
		return nil, fmt.Errorf("preparing to write events: %w", err)
	}
	c.events = events.NewBroadcaster(&events.EventSinkImpl{Interface: recorder})
	c.fleets, err = kubernetes.New(kubernetes.Options{
		Client: writer, Config: opts.Config, Namespaces: opts.Namespaces, Controller: gatewayapi.ControllerName,
		CA: c.ca.CA, Image: opts.Image, ProxyImage: opts.ProxyImage,
		XDSHost: c.dnsNames()[0], XDSPort: opts.XDSPort, Events: c.events.NewRecorder(scheme, "switchyard"),
		Log: opts.Log, Registerer: opts.Registerer,
	})
	return c, err
}

// dnsNames are those of the Service, the one that proxies use first. It is short of the cluster's domain, which
// is not the same everywhere.
func (c *Cluster) dnsNames() []string {
	name := c.opts.Service.Name + "." + c.opts.Service.Namespace + ".svc"
	return []string{name, name + ".cluster.local", c.opts.Service.Name + "." + c.opts.Service.Namespace}
}

// newScheme knows every kind that is written to.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	err := errors.Join(corev1.AddToScheme(scheme), appsv1.AddToScheme(scheme), autoscalingv2.AddToScheme(scheme),
		policyv1.AddToScheme(scheme), gwv1.Install(scheme), infv1.Install(scheme), llmd.Install(scheme))
	if err != nil {
		return nil, fmt.Errorf("building the scheme: %w", err)
	}
	return scheme, nil
}

// Apply makes the options of a stack those of a control plane on this cluster.
func (c *Cluster) Apply(o *stack.Options) {
	o.Source = c.source
	o.Credentials, o.Authorize = c.ca.Credentials(), identity.Authorize
	o.Translate.Objects = gatewayapi.Options{
		Fleets: true,
		Picker: gatewayapi.ServicePort{Service: c.opts.Service, Port: int32(c.opts.PickerPort)},
	}
}

// Run keeps statuses and fleets in step with the results of a pipeline while this replica leads, until ctx is
// done.
func (c *Cluster) Run(ctx context.Context, p *pipeline.Pipeline) error {
	if err := c.events.StartRecordingToSinkWithContext(ctx); err != nil {
		return fmt.Errorf("starting to write events: %w", err)
	}
	defer c.events.Shutdown()
	election := newElection(c.opts)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.ca.Run(ctx) })
	group.Go(func() error {
		c.follow(ctx, p)
		return nil
	})
	group.Go(func() error {
		return election.lead(ctx, func(ctx context.Context) error {
			group, ctx := errgroup.WithContext(ctx)
			group.Go(func() error { return c.status.Run(ctx) })
			group.Go(func() error { return c.fleets.Run(ctx) })
			return group.Wait()
		})
	})
	return group.Wait()
}

// follow hands every newest result to those who write, whether they may write now or not.
func (c *Cluster) follow(ctx context.Context, p *pipeline.Pipeline) {
	for {
		result, changed := p.Latest()
		if result != nil {
			c.status.Want(result.Objects, result.Statuses)
			c.fleets.Want(result.Output.Gateways, result.Objects)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

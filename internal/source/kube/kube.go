// Package kube keeps a source.Store in step with the objects of a Kubernetes cluster.
//
// It watches with the informers of controller-runtime, one cache per kind and namespace, so that a kind which is
// absent, forbidden or slow stands alone. Objects are trimmed before they are kept. It must not interpret them,
// write anything to the cluster, or publish a view that is not complete.
//
//	API server -> watch (one kind, one scope) -> Run, the owner of the view -> source.Store
//
// client-go and controller-runtime log through klog and their own logger; the program that runs a Source directs
// both once, at its start.
package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	"github.com/switchyard/switchyard/internal/source"
)

// Options say which cluster, and which namespaces and kinds of it, to watch.
type Options struct {
	Config *rest.Config
	// Namespaces to watch; empty means all of them. With namespaces, Roles in them are enough: what is cluster-scoped is
	// tried, and done without when it is forbidden.
	Namespaces []string
	// Own is the namespace of the control plane itself. Where Namespaces leave it out, its Services, EndpointSlices and
	// Pods are watched all the same, and nothing else there: replicas find each other by them.
	Own string
	// Kinds to watch, such as Pod, in every group that has them; empty means every kind that source.Objects holds.
	Kinds      []string
	Log        *slog.Logger          // default slog.Default()
	Registerer prometheus.Registerer // optional
}

// Source watches a cluster. Its Run is called once.
type Source struct {
	config     *rest.Config
	client     *http.Client
	scheme     *runtime.Scheme
	mapper     meta.RESTMapper
	namespaces []string
	own        string
	kinds      []*kind
	chosen     bool // kinds were asked for by name
	log        *slog.Logger
	metrics    *metrics
	timing     timing
}

// timing holds every wait of a Source.
type timing struct {
	quiet, limit time.Duration // a burst of events ends after quiet without one, or limit after its first
	status       time.Duration // how long a change of a status alone may wait for company
	patience     time.Duration // how long a start waits for a kind that is forbidden
	confirm      time.Duration // how long a kind must be unknown before its objects are dropped
	poll         pollTiming
}

var defaultTiming = timing{
	quiet:    10 * time.Millisecond,
	limit:    100 * time.Millisecond,
	status:   time.Second,
	patience: 10 * time.Second,
	confirm:  2 * time.Second,
	poll:     pollTiming{first: time.Second, most: 15 * time.Second, complete: time.Minute},
}

// New makes a Source. The error says which option cannot be used; the cluster is not asked yet.
func New(o Options) (*Source, error) {
	if o.Config == nil {
		return nil, errors.New("source kube: Options.Config is nil; give the address and credentials of an API server")
	}
	kinds, err := chooseKinds(o.Kinds)
	if err != nil {
		return nil, err
	}
	namespaces, err := checkNamespaces(o.Namespaces)
	if err != nil {
		return nil, err
	}
	config := rest.CopyConfig(o.Config)
	if config.UserAgent == "" {
		config.UserAgent = "switchyard"
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the API server %s: %w", config.Host, err)
	}
	log := o.Log
	if log == nil {
		log = slog.Default()
	}
	return &Source{
		config: config, client: client, scheme: newScheme(), mapper: newMapper(), namespaces: namespaces, own: o.Own, kinds: kinds,
		chosen: len(o.Kinds) > 0, log: log, metrics: newMetrics(o.Registerer), timing: defaultTiming,
	}, nil
}

func chooseKinds(names []string) ([]*kind, error) {
	if len(names) == 0 {
		return kinds, nil
	}
	var out []*kind
	for _, name := range names {
		known := false
		for _, k := range kinds {
			if k.name != name {
				continue
			}
			known = true
			if !slices.Contains(out, k) {
				out = append(out, k)
			}
		}
		if !known {
			return nil, fmt.Errorf("source kube: Options.Kinds names %q; it can be %s", name, strings.Join(kindNames(kinds), ", "))
		}
	}
	return out, nil
}

func checkNamespaces(names []string) ([]string, error) {
	for _, name := range names {
		if wrong := validation.IsDNS1123Label(name); len(wrong) > 0 {
			return nil, fmt.Errorf("source kube: Options.Namespaces: %q is not the name of a namespace: %s", name, wrong[0])
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(names))), nil
}

// Run keeps the store in step with the cluster until ctx ends; it then returns nil. The first view is put when
// everything there is has been read. An API server that cannot be reached is waited for; the store keeps its last view.
func (s *Source) Run(ctx context.Context, store *source.Store) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer utilnet.CloseIdleConnectionsFor(s.client.Transport)
	defer running.Wait()
	defer cancel()

	finder, err := newFinder(s.config, s.client, s.kinds)
	if err != nil {
		return fmt.Errorf("make a discovery client of the API server %s: %w", s.config.Host, err)
	}
	poller := newPoller(finder, s.timing.poll, s.log)
	running.Go(func() { poller.run(ctx) })
	o := newOwner(s, store, poller, &running)
	return o.run(ctx)
}

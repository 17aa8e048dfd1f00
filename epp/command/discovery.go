package command

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/discovery"
)

// validateDiscovery checks that nothing else says where endpoints come from, and that nothing needs a cluster.
func (f *pickerFlags) validateDiscovery() error {
	if !f.pool.discovers() {
		return nil
	}
	switch {
	case f.manifests != "":
		return errors.New("dataLayer.discovery in the configuration and -f both say where endpoints come from; keep one")
	case f.pool.selector != "":
		return errors.New("dataLayer.discovery in the configuration and --endpoint-selector both say where endpoints come from; keep one")
	case f.leaderElection:
		return errors.New("--ha-enable-leader-election needs a cluster for its Lease; leave it out, or dataLayer.discovery in the configuration")
	}
	return nil
}

// endpointTaker is told of the endpoints of a pool.
type endpointTaker interface {
	Set(key string, specs []datalayer.Spec)
}

// discoveredPool is a pool of the endpoints that a file names, in place of a cluster.
type discoveredPool struct {
	file   *discovery.File
	text   []byte // of the file as it was read last
	key    string
	pools  endpointTaker
	counts *discovery.Metrics
	log    *slog.Logger
}

// discoverPool makes the pool: the picker is not ready before there is one, and a file that is wrong ends it here.
func discoverPool(c *config.Config, key string, pools endpointTaker, registry prometheus.Registerer, log *slog.Logger) (*discoveredPool, error) {
	specs, text, err := c.Discovery.Read()
	if err != nil {
		return nil, err
	}
	counts, err := discovery.NewMetrics(registry)
	if err != nil {
		return nil, err
	}
	pools.Set(key, specs)
	log.Info("endpoints are those of a file: there are no objectives, no model rewrites, no leader and no tokens without a cluster",
		"file", c.Discovery.Path, "endpoints", len(specs), "pool", key)
	return &discoveredPool{file: c.Discovery, text: text, key: key, pools: pools, counts: counts, log: log}, nil
}

// follow keeps the pool like the file until ctx ends.
func (d *discoveredPool) follow(ctx context.Context) {
	d.file.Follow(ctx, d.text, func(specs []datalayer.Spec) { d.pools.Set(d.key, specs) }, d.counts, d.log)
	<-ctx.Done()
}

package command

import (
	"context"
	"fmt"
	"log/slog"

	"k8s.io/client-go/rest"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/internal/apiserver"
	"github.com/switchyard/switchyard/internal/pipeline"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/file"
	"github.com/switchyard/switchyard/internal/source/kube"
	"github.com/switchyard/switchyard/internal/source/llmd"
)

// objectSource fills a store until its context ends.
type objectSource interface {
	Run(ctx context.Context, store *source.Store) error
}

// kinds are what the picker needs to know of a cluster; its role lets it see no others.
func (p *poolFlags) kinds() []string {
	if p.selector != "" {
		return []string{"Pod"}
	}
	return []string{"InferencePool", "Pod", llmd.ObjectiveKind, llmd.RewriteKind}
}

// withoutCluster tells that endpoints come from a folder of manifests, or from a file.
func (f *pickerFlags) withoutCluster() bool { return f.manifests != "" || f.pool.discovers() }

// cluster is how to reach the cluster, nil when there is none.
func (f *pickerFlags) cluster(log *slog.Logger) (*rest.Config, error) {
	if f.withoutCluster() {
		return nil, nil
	}
	config, err := apiserver.Config(f.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading pool %s from a cluster, since -f names no manifests: %w", f.pool.key(), err)
	}
	apiserver.DirectLogs(log)
	return config, nil
}

// objects is the folder of -f or, without it, the pool's namespace on a cluster.
func (f *pickerFlags) objects(config *rest.Config, log *slog.Logger) (objectSource, error) {
	if f.manifests != "" {
		return file.New(f.manifests, log), nil
	}
	return kube.New(kube.Options{Config: config, Namespaces: []string{f.pool.inNamespace()}, Kinds: f.pool.kinds(), Log: log})
}

// followed is what the pipeline tells of pools: on a cluster that of the named one alone, for the others of its namespace
// have pickers of their own.
func (f *pickerFlags) followed(pools *datalayer.Pools) pipeline.Pools {
	if f.manifests != "" {
		return pools
	}
	return onlyPool{key: f.pool.key(), pools: pools}
}

// onlyPool passes on what concerns one pool.
type onlyPool struct {
	key   string
	pools *datalayer.Pools
}

// Set implements pipeline.Pools.
func (o onlyPool) Set(key string, specs []datalayer.Spec) {
	if key == o.key {
		o.pools.Set(key, specs)
	}
}

// Delete implements pipeline.Pools.
func (o onlyPool) Delete(key string) {
	if key == o.key {
		o.pools.Delete(key)
	}
}

package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/internal/cluster"
	"github.com/switchyard/switchyard/internal/pipeline"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/file"
	"github.com/switchyard/switchyard/internal/source/kube"
)

// objectSource fills a store until its context ends.
type objectSource interface {
	Run(ctx context.Context, store *source.Store) error
}

// pickedKinds are what a picker needs to know of a cluster; its role lets it see no others.
var pickedKinds = []string{"InferencePool", "Pod"}

// objects is the folder of -f or, without it, the pool's namespace on a cluster.
func (f *eppFlags) objects(log *slog.Logger) (objectSource, error) {
	if f.manifests != "" {
		return file.New(f.manifests, log), nil
	}
	config, err := cluster.LoadConfig(f.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading pool %s from a cluster, since -f names no manifests: %w", f.defaultPool(), err)
	}
	directLibraryLogs(log)
	return kube.New(kube.Options{Config: config, Namespaces: []string{f.namespace()}, Kinds: pickedKinds, Log: log})
}

// followed is what the pipeline tells of pools: on a cluster that of the named one alone, for the others of its namespace
// have pickers of their own.
func (f *eppFlags) followed(pools *datalayer.Pools) pipeline.Pools {
	if f.manifests != "" {
		return pools
	}
	return onlyPool{key: f.defaultPool(), pools: pools}
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

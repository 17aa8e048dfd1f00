package command

import (
	"context"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/internal/pipeline"
	"github.com/switchyard/switchyard/internal/source"
)

// selectedPods keeps a pool of the pods that a selector names, in place of an InferencePool.
type selectedPods struct {
	key       string
	namespace string
	selector  labels.Selector
	ports     []int
	store     *source.Store
	pools     *datalayer.Pools
}

func (s *selectedPods) run(ctx context.Context) {
	for {
		if objects := s.store.Latest().Objects; objects != nil {
			s.pools.Set(s.key, s.specs(objects))
		}
		select {
		case <-ctx.Done():
			return
		case <-s.store.Changed():
		}
	}
}

// specs are one endpoint for each ready pod and port.
func (s *selectedPods) specs(objects *source.Objects) []datalayer.Spec {
	ports := make([]uint16, len(s.ports))
	for rank, port := range s.ports {
		ports[rank] = uint16(port)
	}
	return pipeline.Specs(objects.PodEndpoints(s.namespace, ports, func(of map[string]string) bool {
		return s.selector.Matches(labels.Set(of))
	}))
}

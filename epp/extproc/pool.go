package extproc

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// Initial metadata of a stream.
const (
	poolKey     = "x-switchyard-pool"
	protocolKey = "x-switchyard-protocol"
	lean        = "lean"
)

// poolState is what requests have taught about a pool.
type poolState struct {
	pool *datalayer.Pool
	// blockTokens is the block size of the pool's prefix keys; it stays once an engine has told its own, because another
	// one would make every key in the index worthless. 0: not told yet.
	blockTokens atomic.Int64
	// onlyModel is the model of the latest request that named one, until a second model comes.
	onlyModel  atomic.Pointer[string]
	manyModels atomic.Bool
}

// learnModel remembers the model of a request.
func (p *poolState) learnModel(model string) {
	if p.manyModels.Load() {
		return
	}
	switch known := p.onlyModel.Load(); {
	case known == nil:
		p.onlyModel.CompareAndSwap(nil, &model)
	case *known != model:
		p.manyModels.Store(true)
	}
}

// guessModel is the model of a request whose body ended before it was named: the pool's, if it serves only one.
func (p *poolState) guessModel() string {
	if known := p.onlyModel.Load(); known != nil && !p.manyModels.Load() {
		return *known
	}
	return ""
}

// poolOf finds the pool that a stream is for.
func (s *Service) poolOf(ctx context.Context) (*poolState, error) {
	if named := metadata.ValueFromIncomingContext(ctx, poolKey); len(named) > 0 {
		return s.poolNamed(named[len(named)-1])
	}
	if s.options.DefaultPool != "" {
		return s.poolNamed(s.options.DefaultPool)
	}
	pools := s.options.Pools.List()
	if len(pools) == 1 {
		return s.stateOf(pools[0]), nil
	}
	return nil, status.Errorf(codes.FailedPrecondition,
		"which pool is meant? %d are known: send initial metadata %s: <namespace>/<name>, or start the picker with a default pool",
		len(pools), poolKey)
}

func (s *Service) poolNamed(key string) (*poolState, error) {
	pool, ok := s.options.Pools.Get(key)
	if !ok {
		return nil, status.Errorf(codes.NotFound, "pool %q is not known to this picker", key)
	}
	return s.stateOf(pool), nil
}

// stateOf returns the state of a pool, and drops that of pools which are gone when a new one comes.
func (s *Service) stateOf(pool *datalayer.Pool) *poolState {
	if known, ok := s.states.Load(pool); ok {
		return known.(*poolState)
	}
	made, _ := s.states.LoadOrStore(pool, &poolState{pool: pool})
	s.states.Range(func(key, _ any) bool {
		if other := key.(*datalayer.Pool); other != pool {
			if current, ok := s.options.Pools.Get(other.Key()); !ok || current != other {
				s.states.Delete(other)
			}
		}
		return true
	})
	return made.(*poolState)
}

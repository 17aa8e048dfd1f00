package director

import (
	"sync/atomic"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// Pool is a pool and what requests have taught about it.
type Pool struct {
	*datalayer.Pool
	// blockTokens is the block size of the pool's prefix keys; it stays once an engine has told its own, because another
	// one would make every key in the index worthless. 0: not told yet.
	blockTokens atomic.Int64
	// onlyModel is the model of the latest request that named one, until a second model comes.
	onlyModel  atomic.Pointer[string]
	manyModels atomic.Bool
}

// learnModel remembers the model of a request.
func (p *Pool) learnModel(model string) {
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
func (p *Pool) guessModel() string {
	if known := p.onlyModel.Load(); known != nil && !p.manyModels.Load() {
		return *known
	}
	return ""
}

// Pool finds a pool by its key, "namespace/name".
func (d *Director) Pool(key string) (*Pool, bool) {
	pool, ok := d.options.Pools.Get(key)
	if !ok {
		return nil, false
	}
	return d.stateOf(pool), true
}

// OnlyPool is the pool, if there is exactly one; known is how many there are.
func (d *Director) OnlyPool() (pool *Pool, known int) {
	pools := d.options.Pools.List()
	if len(pools) != 1 {
		return nil, len(pools)
	}
	return d.stateOf(pools[0]), 1
}

// stateOf returns the state of a pool, and drops that of pools which are gone when a new one comes.
func (d *Director) stateOf(pool *datalayer.Pool) *Pool {
	if known, ok := d.states.Load(pool); ok {
		return known.(*Pool)
	}
	made, _ := d.states.LoadOrStore(pool, &Pool{Pool: pool})
	d.states.Range(func(key, _ any) bool {
		if other := key.(*datalayer.Pool); other != pool {
			if current, ok := d.options.Pools.Get(other.Key()); !ok || current != other {
				d.states.Delete(other)
			}
		}
		return true
	})
	return made.(*Pool)
}

// blockTokensOf is the block size of the pool's prefix keys.
func (d *Director) blockTokensOf(pool *Pool) int {
	if known := pool.blockTokens.Load(); known > 0 {
		return int(known)
	}
	told := 0
	if endpoints := pool.Endpoints(); len(endpoints) > 0 {
		told = endpoints[0].Metrics().BlockSize
	}
	blockTokens := d.options.Config.Prefix.Block(told)
	if told > 0 {
		pool.blockTokens.Store(int64(blockTokens))
	}
	return blockTokens
}

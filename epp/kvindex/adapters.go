package kvindex

import (
	"sync"
	"sync/atomic"
)

// maxAdapters bounds the names kept; requests for adapters beyond it match nothing.
const maxAdapters = 4096

// adapters are the LoRA adapters that blocks were stored for. A request names a model, which may be one of them.
type adapters struct {
	mu    sync.Mutex // of changes
	names atomic.Pointer[map[string]bool]
}

func (a *adapters) has(name string) bool {
	names := a.names.Load()
	return names != nil && (*names)[name]
}

func (a *adapters) note(name string) {
	if name == "" || a.has(name) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	next := map[string]bool{name: true}
	if names := a.names.Load(); names != nil {
		if len(*names) >= maxAdapters {
			return
		}
		for known := range *names {
			next[known] = true
		}
	}
	a.names.Store(&next)
}

// Adapter is the adapter that a model's name stands for: the name itself when blocks were stored for it, else empty. Where
// blocks are shared every name counts, for those that stored them may be others.
func (x *Index) Adapter(model string) string {
	if x.shared != nil || x.adapters.has(model) {
		return model
	}
	return ""
}

package sim

import (
	"container/list"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// errQueueFull answers a request that finds MaxWaiting others before it.
var errQueueFull = errors.New("the queue is full, try again later")

// prefillSlack is how close to the end of one prefill the next may be let in. Timers are no finer than about a
// millisecond; without it each small prompt would cost one whatever its size.
const prefillSlack = time.Millisecond

// job is a request as the engine sees it.
type job struct {
	adapter   string // "" for the base model
	chain     chain
	hashes    []uint64 // of the prompt's full blocks
	prompt    int      // tokens
	maxTokens int      // output tokens, at least 1
	natural   bool     // the output ends by itself, not at a limit that the client set
}

// engine is the GPU and its scheduler: one queue in order of arrival, one prefill at a time, a bounded batch,
// and the block cache. A request is let in when the batch has a place, the prefill before it is done, its
// adapter has a slot, and the cache has room for its prompt and its whole output; so nothing is ever preempted.
type engine struct {
	cfg   *Config
	meter *meter

	generated atomic.Int64 // output tokens, counted one by one

	mu           sync.Mutex
	pool         *blockPool
	running      int
	waiting      list.List // of *ticket
	adapters     map[string]adapterLoad
	lora         loraLog
	prefillUntil time.Time   // when the prefills let in so far will be done
	wake         *time.Timer // lets in the queue's head at that time; armed only while something waits
	counts       Stats       // its counters only
}

// adapterLoad counts one adapter's requests.
type adapterLoad struct{ running, waiting int }

// ticket is a request in the queue.
type ticket struct {
	job      job
	arrived  time.Time
	place    *list.Element
	admitted chan *sequence // gets one value, once
}

func newEngine(cfg *Config, m *meter) *engine {
	return &engine{
		cfg:      cfg,
		meter:    m,
		pool:     newBlockPool(cfg.CacheBlocks),
		adapters: make(map[string]adapterLoad),
	}
}

// blocksFor is the number of blocks that so many tokens fill or begin.
func (e *engine) blocksFor(tokens int) int {
	return (tokens + e.cfg.BlockTokens - 1) / e.cfg.BlockTokens
}

// admit waits until the job may run. It fails with errQueueFull, or with the context's error once the client
// has gone, and then holds nothing. The caller ends the sequence with finish.
func (e *engine) admit(ctx context.Context, j job) (*sequence, error) {
	t := &ticket{job: j, arrived: time.Now(), admitted: make(chan *sequence, 1)}
	e.mu.Lock()
	e.counts.Requests++
	t.place = e.waiting.PushBack(t)
	e.countAdapter(j.adapter, 0, 1)
	e.letIn()
	if t.place != nil && e.cfg.MaxWaiting > 0 && e.waiting.Len() > e.cfg.MaxWaiting {
		e.leaveQueue(t)
		e.counts.Rejected++
		e.mu.Unlock()
		return nil, errQueueFull
	}
	e.mu.Unlock()

	select {
	case s := <-t.admitted:
		return s, nil
	case <-ctx.Done():
	}
	e.mu.Lock()
	if t.place != nil {
		e.leaveQueue(t)
		e.counts.Disconnects++
		e.letIn() // what stood behind it may fit
		e.mu.Unlock()
		e.meter.finished(finishAbort)
		return nil, ctx.Err()
	}
	e.mu.Unlock()
	(<-t.admitted).finish(finishAbort)
	return nil, ctx.Err()
}

// leaveQueue takes a ticket out of the queue. The lock is held.
func (e *engine) leaveQueue(t *ticket) {
	e.waiting.Remove(t.place)
	t.place = nil
	if e.waiting.Len() == 0 && e.wake != nil {
		e.wake.Stop()
	}
	e.countAdapter(t.job.adapter, 0, -1)
}

// letIn starts every waiting request that may run now. The lock is held.
func (e *engine) letIn() {
	now := time.Now()
	for el := e.waiting.Front(); el != nil && e.running < e.cfg.MaxRunning; {
		t := el.Value.(*ticket)
		el = el.Next()
		if ahead := e.prefillUntil.Sub(now); ahead > prefillSlack {
			e.wakeAfter(ahead - prefillSlack)
			return
		}
		if !e.adapterFits(t.job.adapter) {
			continue // requests for other adapters may overtake it
		}
		if !e.pool.fits(t.job.hashes, e.blocksFor(t.job.prompt+t.job.maxTokens)) {
			return // nobody overtakes it, or a large prompt would starve behind small ones
		}
		e.leaveQueue(t)
		t.admitted <- e.start(t, now)
	}
}

// wakeAfter calls letIn again in a while. The lock is held.
func (e *engine) wakeAfter(d time.Duration) {
	if e.wake == nil {
		e.wake = time.AfterFunc(d, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.letIn()
		})
		return
	}
	e.wake.Reset(d)
}

func (e *engine) adapterFits(adapter string) bool {
	if adapter == "" || e.adapters[adapter].running > 0 {
		return true
	}
	active := 0
	for _, load := range e.adapters {
		if load.running > 0 {
			active++
		}
	}
	return active < e.cfg.MaxLoRA
}

// start takes the blocks of a request and its time on the GPU. The lock is held.
func (e *engine) start(t *ticket, now time.Time) *sequence {
	j := &t.job
	s := &sequence{engine: e, job: *j, arrived: t.arrived, started: now}

	// The last token is computed even when its block is cached: the first output comes out of it.
	hittable := min(len(j.hashes), (j.prompt-1)/e.cfg.BlockTokens)
	hits := 0
	for hits < hittable {
		b := e.pool.pin(j.hashes[hits])
		if b == nil {
			break
		}
		s.blocks = append(s.blocks, b)
		hits++
	}
	s.cached = hits * e.cfg.BlockTokens
	for _, h := range j.hashes[hits:] {
		b := e.pool.pin(h)
		if b == nil {
			b = e.pool.take()
			e.pool.publish(b, h)
			s.fresh = append(s.fresh, b)
		}
		s.blocks = append(s.blocks, b)
	}
	if len(j.chain.tail) > 0 {
		s.blocks = append(s.blocks, e.pool.take())
	}
	s.promised = e.blocksFor(j.prompt+j.maxTokens) - len(s.blocks)
	e.pool.reserved += s.promised

	if now.After(e.prefillUntil) {
		e.prefillUntil = now
	}
	s.prefillFrom = e.prefillUntil
	e.prefillUntil = e.prefillUntil.Add(e.cfg.prefillTime(j.prompt - s.cached))
	s.prefillUntil = e.prefillUntil

	e.running++
	e.countAdapter(j.adapter, 1, 0)
	e.counts.PrefixQueries += int64(j.prompt)
	e.counts.PrefixHits += int64(s.cached)
	e.counts.PromptTokens += int64(j.prompt)
	return s
}

// countAdapter keeps the requests of each adapter. The lock is held.
func (e *engine) countAdapter(adapter string, running, waiting int) {
	if adapter == "" {
		return
	}
	load := e.adapters[adapter]
	load.running += running
	load.waiting += waiting
	e.adapters[adapter] = load
	e.lora.note(e.adapterNames(func(l adapterLoad) bool { return l.running > 0 }),
		e.adapterNames(func(l adapterLoad) bool { return l.waiting > 0 }))
}

func (e *engine) adapterNames(has func(adapterLoad) bool) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(e.adapters)) {
		if has(e.adapters[name]) {
			names = append(names, name)
		}
	}
	return names
}

func (e *engine) stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.counts
	s.Running, s.Waiting = e.running, e.waiting.Len()
	s.GenerationTokens = e.generated.Load()
	s.UsedBlocks, s.CachedBlocks, s.TotalBlocks = e.pool.inUse, e.pool.idle, e.pool.capacity
	return s
}

// loraSeries returns the adapter history for the metrics page.
func (e *engine) loraSeries() []loraState {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.lora.states)
}

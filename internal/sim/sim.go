// Package sim is a simulated model server: it speaks the OpenAI API and vLLM's metric names, and behaves like a
// GPU under load without being one, so that routing and picking can be tried and measured on a laptop. A prefix
// cache with blocks and eviction, a prefill that costs time per uncached token, a decode that costs time per
// output token, a bounded batch with a queue. What it reports is what it did, never an estimate.
//
// It must not know about gateways, pools or pickers, and must stay cheap: it shares the machine with what is
// being measured.
//
// Data flow: HTTP request -> prompt tokens -> queue -> blocks of the cache -> tokens in time -> HTTP answer.
package sim

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Instant as a Config's TimeScale takes all simulated waiting out.
const Instant = 1e-9

// Defaults of a Config: a mid-size GPU with an 8B model, somewhat quickened.
const (
	DefaultModel                  = "Qwen/Qwen3-8B"
	DefaultBlockTokens            = 16
	DefaultCacheBlocks            = 32768 // 524 288 tokens
	DefaultMaxRunning             = 64
	DefaultPrefillTokensPerSecond = 20000
	DefaultFirstToken             = 5 * time.Millisecond
	DefaultInterToken             = 5 * time.Millisecond
)

// Config describes one simulated server. A zero value means the default, which is named at each field.
type Config struct {
	// Name is answered in x-sim-endpoint. Default: the local address of the connection, host:port.
	Name string
	// Model is the base model's name. Default DefaultModel.
	Model string
	// LoRA are the adapters that can be asked for by name, like models.
	LoRA []string
	// MaxLoRA is how many different adapters run at the same time; requests for others wait. Default: all of them.
	MaxLoRA int
	// Seed chooses the texts. The same seed and prompt give the same answer, on every server and in every run.
	Seed uint64

	// BlockTokens is the size of a cache block in tokens. Default 16.
	BlockTokens int
	// CacheBlocks is the size of the KV cache in blocks; a request that needs more than all of them is refused
	// with 400. Default DefaultCacheBlocks.
	CacheBlocks int
	// MaxRunning bounds the requests that are prefilled or decoded at the same time. Default DefaultMaxRunning.
	MaxRunning int
	// MaxWaiting bounds the queue: a request that finds it full is answered 503. 0: no bound.
	MaxWaiting int

	// PrefillTokensPerSecond is the rate at which the server, not each request, works through uncached prompt
	// tokens, in the order of arrival. Default DefaultPrefillTokensPerSecond.
	PrefillTokensPerSecond float64
	// FirstToken is added once to each request between its prefill and its first token. Default DefaultFirstToken.
	FirstToken time.Duration
	// InterToken is the time from one output token to the next. Default DefaultInterToken.
	InterToken time.Duration
	// Jitter spreads InterToken evenly over ±this fraction of it, seeded. 0 to 1; default 0.
	Jitter float64
	// TimeScale multiplies every simulated duration: 0.1 is ten times as fast, Instant does not wait at all. Default 1.
	TimeScale float64

	// Drain is how long requests in flight may go on once Serve's context ends. Default 0: they are cut off.
	Drain time.Duration
	// Echo answers every path that is not one of the API's as /echo does, instead of 404.
	Echo bool
}

// withDefaults fills in what was left out.
func (c Config) withDefaults() Config {
	c.Model = cmp.Or(c.Model, DefaultModel)
	c.MaxLoRA = cmp.Or(c.MaxLoRA, len(c.LoRA))
	c.BlockTokens = cmp.Or(c.BlockTokens, DefaultBlockTokens)
	c.CacheBlocks = cmp.Or(c.CacheBlocks, DefaultCacheBlocks)
	c.MaxRunning = cmp.Or(c.MaxRunning, DefaultMaxRunning)
	c.PrefillTokensPerSecond = cmp.Or(c.PrefillTokensPerSecond, DefaultPrefillTokensPerSecond)
	c.FirstToken = cmp.Or(c.FirstToken, DefaultFirstToken)
	c.InterToken = cmp.Or(c.InterToken, DefaultInterToken)
	c.TimeScale = cmp.Or(c.TimeScale, 1)
	return c
}

// Validate names the first value that cannot be meant.
func (c Config) Validate() error {
	for _, n := range []struct {
		name  string
		value float64
	}{
		{"max LoRA", float64(c.MaxLoRA)}, {"block tokens", float64(c.BlockTokens)},
		{"cache blocks", float64(c.CacheBlocks)}, {"max running", float64(c.MaxRunning)},
		{"max waiting", float64(c.MaxWaiting)}, {"prefill tokens per second", c.PrefillTokensPerSecond},
		{"first token", float64(c.FirstToken)}, {"inter token", float64(c.InterToken)},
		{"time scale", c.TimeScale}, {"drain", float64(c.Drain)},
	} {
		if !(n.value >= 0) { // also refuses NaN
			return fmt.Errorf("simulator %q: %s is %v, give 0 (for the default) or more", c.Name, n.name, n.value)
		}
	}
	if !(c.Jitter >= 0 && c.Jitter <= 1) {
		return fmt.Errorf("simulator %q: jitter is %v, give a fraction from 0 to 1", c.Name, c.Jitter)
	}
	for i, name := range c.LoRA {
		if name == "" || name == cmp.Or(c.Model, DefaultModel) || slices.Contains(c.LoRA[:i], name) {
			return fmt.Errorf("simulator %q: LoRA name %q is empty or already taken, give each adapter its own", c.Name, name)
		}
	}
	return nil
}

// scaled turns a simulated duration into a real one.
func (c *Config) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * c.TimeScale)
}

// prefillTime is the real time that so many uncached tokens take.
func (c *Config) prefillTime(tokens int) time.Duration {
	return time.Duration(float64(tokens) / c.PrefillTokensPerSecond * float64(time.Second) * c.TimeScale)
}

// Server is one simulated model server.
type Server struct {
	cfg    Config
	engine *engine
	routes map[string]route
	meter  *meter

	handlers sync.WaitGroup // requests and websockets in flight, waited for by Serve
}

var _ http.Handler = (*Server)(nil)

// New makes a server. It holds no goroutine and no timer while there are no requests. It panics on a Config
// that Validate refuses.
func New(cfg Config) *Server {
	if err := cfg.Validate(); err != nil {
		panic(err)
	}
	cfg = cfg.withDefaults()
	s := &Server{cfg: cfg, meter: newMeter()}
	s.engine = newEngine(&s.cfg, s.meter)
	s.routes = s.buildRoutes()
	return s
}

// Config is the server's configuration with the defaults filled in.
func (s *Server) Config() Config { return s.cfg }

// Stats are the server's own counts; the page /metrics shows the same numbers.
type Stats struct {
	Requests  int64 // generation requests that were well-formed and for a known model
	Succeeded int64 // came to the end of their output
	Rejected  int64 // refused because the queue was full
	// Disconnects are requests whose client went away, or whose server was stopped, before the end of the output.
	Disconnects int64

	Running int
	Waiting int

	PrefixQueries    int64 // prompt tokens looked up in the prefix cache
	PrefixHits       int64 // of those, tokens that were there
	PromptTokens     int64 // prompt tokens prefilled or taken from the cache
	GenerationTokens int64

	UsedBlocks   int // blocks held by running requests
	CachedBlocks int // blocks that only wait to be hit again, or evicted
	TotalBlocks  int
}

// HitRate is the share of the looked-up prompt tokens that were cached, 0 when nothing was looked up.
func (s Stats) HitRate() float64 {
	if s.PrefixQueries == 0 {
		return 0
	}
	return float64(s.PrefixHits) / float64(s.PrefixQueries)
}

// KVUsage is what vLLM calls kv_cache_usage_perc, from 0 to 1: the share of the blocks that running requests
// hold. Blocks that are merely cached count as free, as they do there, since a new request can have them.
func (s Stats) KVUsage() float64 { return float64(s.UsedBlocks) / float64(s.TotalBlocks) }

// Stats reads the counts of this moment, all of the same moment.
func (s *Server) Stats() Stats { return s.engine.stats() }

package extproc

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/prefix"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// bytesPerToken is the estimate by which prompt bytes become tokens.
const bytesPerToken = 4

// asked is what a request brings to the decision. Its slices belong to the message.
type asked struct {
	path     string
	pathSent bool // false: the proxy told no path, the body shows which API it is
	fairness string
	// headers are those that plugins read.
	headers scheduling.Headers
	// contentLength is the size of the whole body as announced, 0 when it was not.
	contentLength int
	body          []byte
	hasBody       bool
	// complete is false when more body follows that the picker does not get to see.
	complete bool
	// subset is the encoded Value that restricts the endpoints; nil: all of the pool.
	subset []byte
}

// scratch is the memory of one decision.
type scratch struct {
	request body.Request
	subset  []*datalayer.Endpoint
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// release gives the scratch back; an unusually long prompt's memory is left to the garbage collector.
func (s *scratch) release() {
	const keptBlocks = 1 << 16
	clear(s.subset)
	if cap(s.request.Blocks) > keptBlocks {
		return
	}
	s.request.Reset()
	scratches.Put(s)
}

// decide chooses the endpoints of a request and begins to account for it in x. It returns the addresses for the proxy, best
// first, joined by commas; the error is a *refusal.
func (s *Service) decide(x *exchange, ask *asked) (string, error) {
	work := scratches.Get().(*scratch)
	defer work.release()
	if ask.fairness == "" {
		ask.fairness = s.options.Config.Identity(ask.headers)
	}
	blockTokens, err := s.scan(x, ask, work)
	s.count(x, work.request.Model, ask)
	if err != nil {
		return "", err
	}
	return s.schedule(x, ask, work, blockTokens)
}

// count begins the request's series.
func (s *Service) count(x *exchange, model string, ask *asked) {
	x.series = s.options.Metrics.Series(model, model, ask.fairness, 0)
	x.series.Total.Inc()
	x.series.Running.Inc()
	x.series.Size.Observe(float64(max(len(ask.body), ask.contentLength)))
}

// scan reads the body as far as it is there.
func (s *Service) scan(x *exchange, ask *asked, work *scratch) (blockTokens int, err error) {
	blockTokens = s.blockTokens(x.pool)
	work.request.Reset()
	if !ask.hasBody {
		return blockTokens, nil
	}
	api := body.Detect
	if ask.pathSent {
		resolved, ok := s.options.Config.Parsers.Resolve(body.APIOf(ask.path))
		if !ok {
			return 0, badRequest("no parser registered matching path suffix for: " + withoutQuery(ask.path))
		}
		api = resolved
	}
	if err := body.Scan(api, ask.body, ask.complete, s.options.Config.Prefix.Limits(blockTokens), &work.request); err != nil {
		return 0, badRequest(err.Error())
	}
	if work.request.Model != "" {
		x.pool.learnModel(work.request.Model)
	} else if work.request.Truncated {
		work.request.Model = x.pool.guessModel()
	}
	return blockTokens, nil
}

func (s *Service) schedule(x *exchange, ask *asked, work *scratch, blockTokens int) (string, error) {
	began := time.Now()
	pool := x.pool.pool
	candidates := pool.Endpoints()
	if ask.subset != nil && !s.options.Config.OverridesSubset(ask.headers) {
		work.subset = inSubset(work.subset[:0], candidates, ask.subset)
		candidates = work.subset
	}
	request := &work.request
	if len(candidates) == 0 {
		s.options.Metrics.CountAttempt(request.Model, nil)
		return "", noEndpoints("failed to find endpoint candidates for serving the request")
	}
	cycle := scheduling.NewCycle(request, candidates, began)
	defer cycle.Release()
	cycle.Headers, cycle.BodyBytes = ask.headers, max(len(ask.body), ask.contentLength)
	cycle.Keys = prefix.Chain(cycle.Keys, prefix.Seed(request.Model, request.CacheSalt), request.Blocks)
	cycle.BlockTokens = blockTokens
	cycle.Match(pool.Index())
	chosen, err := s.options.Config.Handler.Schedule(cycle)
	if err != nil {
		s.options.Metrics.CountAttempt(request.Model, nil)
		return "", unscheduled(err)
	}
	best := chosen[0]
	held := cycle.PrefixBlocks[best]
	x.begin(candidates[best], cycle.Keys, held, uncachedTokens(ask, request, held*blockTokens))
	pool.Index().Add(candidates[best].Server, cycle.Keys)
	s.options.Metrics.SchedulerDuration.Observe(time.Since(began).Seconds())
	s.options.Metrics.CountAttempt(request.Model, candidates[best])
	s.options.Metrics.ObservePrefixHit(held, len(cycle.Keys))
	return joinAddresses(candidates, chosen), nil
}

// unscheduled is what a client is told when no endpoint was chosen.
func unscheduled(err error) *refusal {
	switch {
	case errors.Is(err, scheduling.ErrBadRequest):
		return badRequest(err.Error())
	case errors.Is(err, scheduling.ErrFiltered), errors.Is(err, scheduling.ErrNotAdmitted):
		return saturated(err.Error())
	default:
		return saturated("failed to find target endpoint: " + err.Error())
	}
}

// blockTokens is the block size of the pool's prefix keys.
func (s *Service) blockTokens(state *poolState) int {
	if known := state.blockTokens.Load(); known > 0 {
		return int(known)
	}
	told := 0
	if endpoints := state.pool.Endpoints(); len(endpoints) > 0 {
		told = endpoints[0].Metrics().BlockSize
	}
	blockTokens := s.options.Config.Prefix.Block(told)
	if told > 0 {
		state.blockTokens.Store(int64(blockTokens))
	}
	return blockTokens
}

// uncachedTokens estimates the prompt tokens that the endpoint has to work through.
func uncachedTokens(ask *asked, request *body.Request, cached int) int64 {
	promptBytes := request.PromptBytes
	if request.Truncated {
		promptBytes = max(promptBytes, ask.contentLength)
	}
	return int64(max(0, promptBytes/bytesPerToken-cached))
}

// inSubset appends the candidates whose address has an IP that the encoded Value lists ("ip:port", of which only the IP
// counts). The Value may be a list of strings or one comma-separated string.
func inSubset(dst, candidates []*datalayer.Endpoint, value []byte) []*datalayer.Endpoint {
	allowed := map[netip.Addr]bool{}
	admit := func(text []byte) {
		for item := range strings.SplitSeq(string(text), ",") {
			if ip, ok := ipOf(strings.TrimSpace(item)); ok {
				allowed[ip] = true
			}
		}
	}
	if !valueTexts(value, admit) {
		admit(valueText(value))
	}
	for _, candidate := range candidates {
		if ip, ok := ipOf(candidate.Address); ok && allowed[ip] {
			dst = append(dst, candidate)
		}
	}
	return dst
}

func ipOf(address string) (netip.Addr, bool) {
	if withPort, err := netip.ParseAddrPort(address); err == nil {
		return withPort.Addr().Unmap(), true
	}
	ip, err := netip.ParseAddr(address)
	return ip.Unmap(), err == nil
}

func joinAddresses(candidates []*datalayer.Endpoint, chosen []int) string {
	if len(chosen) == 1 {
		return candidates[chosen[0]].Address
	}
	addresses := make([]string, len(chosen))
	for i, index := range chosen {
		addresses[i] = candidates[index].Address
	}
	return strings.Join(addresses, ",")
}

func withoutQuery(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return path
}

func parseLength(text []byte) int {
	length, err := strconv.Atoi(string(text))
	if err != nil || length < 0 {
		return 0
	}
	return length
}

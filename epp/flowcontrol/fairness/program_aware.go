package fairness

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// ProgramAwareType is the type of ProgramAware.
const ProgramAwareType = "program-aware-fairness"

// maxPrograms bounds the programs that a band remembers, about 10 MiB. Beyond it new ones count as without service.
const maxPrograms = 100_000

// ProgramAware serves the program (flow) that has attained the least service, in tokens of which old ones fade. How long its
// head has waited counts as well.
//
// The comparison has to be the same at any time, or a heap could not hold the flows. The logarithm of a fading amount falls by
// the same step for everybody, so its distance to the clock, counted in halvings, stands still; and so does the time at which a
// head began to wait.
type ProgramAware struct {
	service, headWait float64
	// halfLife is the time in which service fades to half; 0: fading goes by turns, halving per turn.
	halfLife time.Duration
	halving  float64
	ttl      time.Duration
	sweep    time.Duration
	ledger   *ledger
}

// NewProgramAware reads `strategy` (las, the only one), `lasWeightService` (0.8) and `lasWeightHeadWait` (0.2), at least one above
// 0; `lasHalfLifeSeconds` (60), where 0 lets service fade by `lasDecayFactor` (0.99997, above 0 and at most 1) with each turn
// instead; `evictionTtlSeconds` (3600, 0: as long as it matters) after which a program is forgotten, and `evictionSweepSeconds` (300,
// above 0), the least time between two looks for such.
func NewProgramAware(parameters []byte) (*ProgramAware, error) {
	given := struct {
		Strategy      string  `json:"strategy"`
		Service       float64 `json:"lasWeightService"`
		HeadWait      float64 `json:"lasWeightHeadWait"`
		HalfLife      float64 `json:"lasHalfLifeSeconds"`
		DecayFactor   float64 `json:"lasDecayFactor"`
		EvictionTTL   float64 `json:"evictionTtlSeconds"`
		EvictionSweep float64 `json:"evictionSweepSeconds"`
	}{Strategy: "las", Service: 0.8, HeadWait: 0.2, HalfLife: 60, DecayFactor: 0.99997, EvictionTTL: 3600, EvictionSweep: 300}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.Strategy != "las" {
		return nil, fmt.Errorf("parameters: strategy: %q is not known; give las", given.Strategy)
	}
	if given.Service+given.HeadWait == 0 {
		return nil, fmt.Errorf("parameters: lasWeightService and lasWeightHeadWait are both 0; give one of them a weight")
	}
	if given.DecayFactor <= 0 || given.DecayFactor > 1 {
		return nil, fmt.Errorf("parameters: lasDecayFactor: %g is not above 0 and at most 1", given.DecayFactor)
	}
	if given.EvictionSweep <= 0 {
		return nil, fmt.Errorf("parameters: evictionSweepSeconds: %g is not above 0", given.EvictionSweep)
	}
	for _, field := range []struct {
		name  string
		value float64
	}{
		{"lasWeightService", given.Service}, {"lasWeightHeadWait", given.HeadWait},
		{"lasHalfLifeSeconds", given.HalfLife}, {"evictionTtlSeconds", given.EvictionTTL},
	} {
		if field.value < 0 {
			return nil, fmt.Errorf("parameters: %s: %g is below 0", field.name, field.value)
		}
	}
	return &ProgramAware{
		service: given.Service, headWait: given.HeadWait,
		halfLife: seconds(given.HalfLife), halving: -math.Log2(given.DecayFactor),
		ttl: seconds(given.EvictionTTL), sweep: seconds(given.EvictionSweep), ledger: newLedger(),
	}, nil
}

// seconds makes a duration, at most a century.
func seconds(s float64) time.Duration {
	const most = 100 * 365 * 24 * 3600
	return time.Duration(min(s, most) * float64(time.Second))
}

// NewTurns implements flowcontrol.Fairness.
func (p *ProgramAware) NewTurns() flowcontrol.Turns {
	return &programTurns{policy: p, born: time.Now(), swept: time.Now(), programs: map[string]program{}}
}

// program is what is remembered of a fairness id.
type program struct {
	// mark is the logarithm of the service attained, in halvings ahead of the clock's zero.
	mark float64
	used time.Time
}

type programTurns struct {
	policy   *ProgramAware
	born     time.Time
	turns    float64 // taken so far
	swept    time.Time
	programs map[string]program
}

// clock is how often service has halved since the band began.
func (t *programTurns) clock() float64 {
	if t.policy.halfLife == 0 {
		return t.turns * t.policy.halving
	}
	return float64(time.Since(t.born)) / float64(t.policy.halfLife)
}

// Joined gives the flow the mark of its program; one without service, or whose service has faded to nothing, starts at the
// clock.
func (t *programTurns) Joined(f *flowcontrol.Flow) {
	f.Turn = max(t.programs[f.ID].mark, t.clock())
}

// Served counts a turn. What it costs is known when the request has ended.
func (t *programTurns) Served(*flowcontrol.Flow) { t.turns++ }

// Waited implements flowcontrol.WaitObserver.
func (t *programTurns) Waited(id string, waited time.Duration) { t.policy.ledger.waited(id, waited) }

// Before compares marks, and how long the heads have waited in half-lives.
func (t *programTurns) Before(a, b *flowcontrol.Flow) bool {
	if order := cmp.Compare(t.standing(a), t.standing(b)); order != 0 {
		return order < 0
	}
	return a.HeadBefore(b)
}

func (t *programTurns) standing(f *flowcontrol.Flow) float64 {
	unit := cmp.Or(t.policy.halfLife, time.Minute)
	return t.policy.service*f.Turn + t.policy.headWait*float64(f.Head().Arrived.Sub(t.born))/float64(unit)
}

// Attained adds service to a program.
func (t *programTurns) Attained(id string, tokens float64, waiting *flowcontrol.Flow) {
	now, clock := time.Now(), t.clock()
	t.policy.ledger.attained(t.policy, id, tokens, now)
	t.forget(now, clock)
	known, ok := t.programs[id]
	if !ok && len(t.programs) >= maxPrograms {
		return
	}
	if !ok {
		id = strings.Clone(id) // what is kept for long must not keep the request that it came with
	}
	fading := math.Exp2(known.mark - clock) // what is left of the service, in tokens
	if !ok {
		fading = 0
	}
	mark := clock + math.Log2(max(fading+tokens, 1))
	t.programs[id] = program{mark: mark, used: now}
	if waiting != nil {
		waiting.Turn = mark
	}
}

// forget drops programs that were not served for long, and those whose service is less than a token: they stand as new ones do.
func (t *programTurns) forget(now time.Time, clock float64) {
	if now.Sub(t.swept) < t.policy.sweep {
		return
	}
	t.swept = now
	for id, known := range t.programs {
		if known.mark <= clock || t.policy.ttl > 0 && now.Sub(known.used) > t.policy.ttl {
			delete(t.programs, id)
		}
	}
}

package profile_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/profile"
)

func poolOf(n int) *datalayer.Pool {
	pools := datalayer.New(datalayer.Options{})
	specs := make([]datalayer.Spec, n)
	for i := range specs {
		specs[i] = datalayer.Spec{Name: fmt.Sprintf("pod-%03d-rank-0", i), Namespace: "ns", Address: fmt.Sprintf("10.0.%d.%d:8000", i/250, i%250+1)}
	}
	pools.Set("ns/pool", specs)
	pool, _ := pools.Get("ns/pool")
	return pool
}

// fixed scores every candidate with a given number.
type fixed []float32

func (f fixed) Score(_ *scheduling.Cycle, in []int, out []float32) {
	for k, i := range in {
		out[k] = f[i]
	}
}

// keep keeps the given candidates.
type keep []int

func (f keep) Filter(_ *scheduling.Cycle, in []int) []int {
	return slices.DeleteFunc(in, func(i int) bool { return !slices.Contains(f, i) })
}

// record is a picker that shows what it was given.
type record struct {
	in     []int
	scores []float32
}

func (r *record) Pick(_ *scheduling.Cycle, in []int, scores []float32) []int {
	r.in, r.scores = slices.Clone(in), slices.Clone(scores)
	return in[:1]
}

func run(t *testing.T, p *profile.Profile, candidates int) ([]int, error) {
	t.Helper()
	c := scheduling.NewCycle(&body.Request{}, poolOf(candidates).Endpoints(), time.Now())
	defer c.Release()
	picked, err := p.Run(c)
	return slices.Clone(picked), err
}

func TestProfileFiltersThenWeighsThenPicks(t *testing.T) {
	seen := &record{}
	p := &profile.Profile{
		Filters: []scheduling.Filter{keep{0, 1, 3}, keep{1, 2, 3}},
		Scorers: []profile.Weighted{{fixed{9, 0.5, 9, 0.25}, 2}, {fixed{0, 7, 0, float32(math.NaN())}, 3}, {fixed{0, -1, 0, 1}, 1}},
		Picker:  seen,
	}
	picked, err := run(t, p, 4)
	if err != nil {
		t.Fatal(err)
	}
	// Candidate 1: 2*0.5 + 3*clamp(7) + clamp(-1); candidate 3: 2*0.25 + 3*clamp(NaN) + 1.
	if !slices.Equal(seen.in, []int{1, 3}) || !slices.Equal(seen.scores, []float32{4, 1.5}) || !slices.Equal(picked, []int{1}) {
		t.Fatalf("picker saw %v with %v, picked %v", seen.in, seen.scores, picked)
	}
}

func TestProfileWithoutCandidatesLeft(t *testing.T) {
	p := &profile.Profile{Filters: []scheduling.Filter{keep{}, keep{1}}, Picker: &record{}}
	if _, err := run(t, p, 3); !errors.Is(err, scheduling.ErrFiltered) {
		t.Fatalf("error %v, want %v", err, scheduling.ErrFiltered)
	}
}

func TestSingleRunsExactlyOneProfile(t *testing.T) {
	if _, err := profile.NewSingle(nil, make([]*profile.Profile, 2)); err == nil {
		t.Fatal("two profiles were accepted")
	}
}

// schedule decides one request by the default profile and begins it at the endpoint chosen.
func schedule(t testing.TB, handler profile.Handler, pool *datalayer.Pool, keys []uint64) int {
	c := scheduling.NewCycle(&body.Request{}, pool.Endpoints(), time.Now())
	defer c.Release()
	c.Keys = append(c.Keys, keys...)
	c.BlockTokens = 64
	c.Match(pool.Index())
	picked, err := handler.Schedule(c)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := c.Candidates[picked[0]]
	endpoint.Begin(1)
	pool.Index().Add(endpoint.Server, keys)
	return picked[0]
}

// TestBurstSpreads sends a burst of different prompts between two scrapes: nobody may get more than its share by more than
// the slack allows.
func TestBurstSpreads(t *testing.T) {
	pool := poolOf(10)
	counts := make([]int, 10)
	for i := range 100 {
		counts[schedule(t, config.Default().Handler, pool, []uint64{uint64(i) << 8, uint64(i)<<8 + 1})]++
	}
	if low, high := slices.Min(counts), slices.Max(counts); low < 10-scheduling.BurstSlack-1 || high > 10+scheduling.BurstSlack+1 {
		t.Fatalf("a burst of 100 over 10 endpoints went %v", counts)
	}
}

// TestPrefixWinsWhileLoadIsEven repeats prompts: each goes back to where it went first.
func TestPrefixWinsWhileLoadIsEven(t *testing.T) {
	pool := poolOf(10)
	handler := config.Default().Handler
	home := map[int]int{}
	for round := range 3 {
		for prompt := range 20 {
			keys := make([]uint64, 50)
			for i := range keys {
				keys[i] = uint64(prompt*1000 + i)
			}
			got := schedule(t, handler, pool, keys)
			if round == 0 {
				home[prompt] = got
			} else if home[prompt] != got {
				t.Fatalf("prompt %d went to %d, then to %d", prompt, home[prompt], got)
			}
		}
	}
}

// BenchmarkPick is one decision of the default profile among 100 endpoints, for a prompt of 100 000 tokens (1562 blocks) of
// which ten endpoints hold parts, without the hashing of its body.
func BenchmarkPick(b *testing.B) {
	pool, keys := warmPool(100)
	handler := config.Default().Handler
	request := &body.Request{}
	for _, blocks := range []int{0, 3, len(keys)} {
		b.Run(fmt.Sprintf("blocks=%d", blocks), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				pick(b, handler, pool, request, keys[:blocks])
			}
		})
	}
}

func warmPool(endpoints int) (*datalayer.Pool, []uint64) {
	pool := poolOf(endpoints)
	keys := make([]uint64, 1562)
	for i := range keys {
		keys[i] = uint64(i+1) * 0x9e3779b97f4a7c15
	}
	for i := range 10 {
		pool.Index().Add(pool.Endpoints()[i*endpoints/10].Server, keys[:len(keys)*(i+1)/10])
	}
	return pool, keys
}

func pick(t testing.TB, handler profile.Handler, pool *datalayer.Pool, request *body.Request, keys []uint64) {
	c := scheduling.NewCycle(request, pool.Endpoints(), time.Now())
	c.Keys, c.BlockTokens = append(c.Keys, keys...), 64
	c.Match(pool.Index())
	if _, err := handler.Schedule(c); err != nil {
		t.Fatal(err)
	}
	c.Release()
}

package kvredis_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"github.com/switchyard/switchyard/epp/kvevents"
	"github.com/switchyard/switchyard/epp/kvindex"
	"github.com/switchyard/switchyard/epp/kvindex/kvredis"
)

const size = 4 // tokens per block

func TestMain(m *testing.M) {
	code := m.Run()
	err := goleak.Find()
	// An attempt of the client to connect ends up to a second after the client was closed.
	for deadline := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(deadline); {
		err = goleak.Find()
	}
	if err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// notes are what a replica logs.
type notes struct {
	mu   sync.Mutex
	text strings.Builder
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// replica is a picker's index over a database.
type replica struct {
	*kvindex.Index
	store *kvredis.Store
	notes *notes
	stop  func()
	a, b  *kvindex.Server
}

func newReplica(t testing.TB, address string) *replica {
	t.Helper()
	return newImpatientReplica(t, address, 2*time.Second)
}

func newImpatientReplica(t testing.TB, address string, patience time.Duration) *replica {
	t.Helper()
	hasher, err := kvindex.NewHasher(size, "", kvindex.XXH64)
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{notes: &notes{}}
	metrics := kvindex.NewMetrics(kvevents.NewMetrics())
	r.store, err = kvredis.New(kvredis.Options{Address: address, Hasher: hasher, Metrics: metrics,
		Logger: slog.New(slog.NewTextHandler(r.notes, nil))})
	if err != nil {
		t.Fatal(err)
	}
	kvredis.SetPatience(r.store, patience)
	r.Index = kvindex.New(kvindex.Options{Hasher: hasher, Metrics: metrics, Shared: r.store,
		Tiers: []kvindex.Tier{{Name: "gpu", Weight: 1}, {Name: "cpu", Weight: 0.5}}})
	r.a, r.b = r.NewServer("10.0.0.1:8000", "10.0.0.1"), r.NewServer("10.0.0.2:8000", "10.0.0.2")
	r.run()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *replica) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.store.Run(ctx)
	}()
	r.stop = func() {
		cancel()
		<-done
	}
}

func ids(conversation uint32, n int) []uint32 {
	list := make([]uint32, n*size)
	for i := range list {
		list[i] = conversation*1000 + uint32(i)
	}
	return list
}

func stored(conversation uint32, from, to int) kvevents.Event {
	e := kvevents.Event{Kind: kvevents.Stored, BlockSize: size, Tokens: ids(conversation, to)[from*size:], Group: -1, Medium: "GPU", Model: "m"}
	for i := from; i < to; i++ {
		e.Hashes = append(e.Hashes, uint64(conversation)*100+uint64(i))
	}
	if from > 0 {
		e.HasParent, e.Parent = true, uint64(conversation)*100+uint64(from-1)
	}
	return e
}

func removed(medium string, hashes ...uint64) kvevents.Event {
	return kvevents.Event{Kind: kvevents.Removed, Hashes: hashes, Medium: medium, Group: -1}
}

func one(events ...kvevents.Event) []kvevents.Event { return events }

func (r *replica) keys(model string, conversation uint32, n int) []uint64 {
	return r.Hasher().Prompt(nil, 1<<16, r.Adapter(model), "", ids(conversation, n), nil)
}

func (r *replica) held(conversation uint32, n int) []kvindex.Held {
	out := make([]kvindex.Held, r.Servers())
	r.Match(r.keys("m", conversation, n), time.Now(), out)
	return out
}

func blocks(held []kvindex.Held) (list []int32) {
	for _, h := range held {
		list = append(list, h.Blocks)
	}
	return list
}

// await waits until a replica sees so many blocks of a conversation of 8.
func (r *replica) await(t testing.TB, conversation uint32, want ...int32) {
	t.Helper()
	eventually(t, func() (string, bool) {
		got := blocks(r.held(conversation, 8))
		return fmt.Sprintf("blocks %v, want %v; log: %s", got, want, r.notes), fmt.Sprint(got) == fmt.Sprint(want)
	})
}

func eventually(t testing.TB, check func() (string, bool)) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		said, ok := check()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(said)
		}
	}
}

func TestReplicasSeeEachOthersBlocks(t *testing.T) {
	db := miniredis.RunT(t)
	one1, two := newReplica(t, "redis://"+db.Addr()), newReplica(t, "valkey://"+db.Addr())
	one1.a.Apply(one(stored(1, 0, 3)))
	one1.b.Apply(one(stored(1, 0, 1), stored(1, 1, 2)))
	for _, r := range []*replica{one1, two} {
		r.await(t, 1, 3, 2)
	}
	// The other goes on with what this one began, and takes away what this one was told.
	two.a.Apply(one(stored(1, 3, 6)))
	one1.await(t, 1, 6, 2)
	two.b.Apply(one(removed("GPU", 101)))
	two.a.Apply(one(removed("GPU", 104)))
	for _, r := range []*replica{one1, two} {
		r.await(t, 1, 4, 1)
	}
	// One that begins anew sees all.
	one1.stop()
	three := newReplica(t, db.Addr())
	three.await(t, 1, 4, 1)
	three.a.Apply(one(removed("", 100)))
	two.await(t, 1, 0, 1)
}

// TestLayout writes a little and compares the database with the llm-d Router's layout.
func TestLayout(t *testing.T) {
	db := miniredis.RunT(t)
	r := newReplica(t, db.Addr())
	host := stored(1, 0, 1)
	host.Medium, host.Group = "CPU", 0
	r.a.Apply(one(stored(1, 0, 2), host))
	r.await(t, 1, 2, 0)
	key := fmt.Sprint(r.keys("m", 1, 1)[0])
	eventually(t, func() (string, bool) {
		fields, err := db.HKeys(key)
		const want = `[{"PodIdentifier":"10.0.0.1:8000","DeviceTier":"cpu","Speculative":false,"HasGroup":true,"GroupIdx":0} ` +
			`{"PodIdentifier":"10.0.0.1:8000","DeviceTier":"gpu","Speculative":false,"HasGroup":false,"GroupIdx":0}]`
		return fmt.Sprintf("%v %v", fields, err), fmt.Sprint(fields) == want
	})
	eventually(t, func() (string, bool) {
		members, err := db.SortedSet("engine:100")
		return fmt.Sprintf("%v %v", members, err), fmt.Sprint(members) == fmt.Sprint(map[string]float64{key: 0})
	})
	// What the other wrote is read: by address or pod, speculative or with more in it than here.
	second := fmt.Sprint(r.keys("m", 1, 3)[2])
	db.HSet(second, `{"PodIdentifier":"10.0.0.1:8000","DeviceTier":"","Speculative":true,"HasGroup":false,"GroupIdx":0}`, "")
	db.HSet(key, `{"PodIdentifier":"10.0.0.2","DeviceTier":"cpu","Speculative":false,"HasGroup":true,"GroupIdx":3,"retrievalSpan":4}`, "")
	db.HSet(key, `{"PodIdentifier":"10.0.0.9:8000","DeviceTier":"gpu"}`, "", "garbage", "", `{}`, "")
	r.await(t, 1, 3, 1)
	if got := r.held(1, 8); got[0].Weight != 3 || got[1].Weight != 0.5 {
		t.Errorf("held %+v", got)
	}
	// A key of another kind is nobody's.
	db.Del(second)
	db.Set(second, "text")
	r.await(t, 1, 2, 1)
	// Nothing is left of names and blocks that are gone.
	r.a.Apply(one(removed("cpu", 100), removed("gpu", 101)))
	r.await(t, 1, 1, 1)
	grouped := removed("cpu", 100)
	grouped.Group = 0
	r.a.Apply(one(grouped, removed("", 100)))
	eventually(t, func() (string, bool) {
		left := db.Keys()
		return fmt.Sprint(left), !db.Exists("engine:101") && len(left) == 3 // what others hold, and its name, and the text
	})
}

func TestTiersAndModels(t *testing.T) {
	db := miniredis.RunT(t)
	r := newReplica(t, db.Addr())
	host := stored(1, 0, 4)
	host.Medium = "CPU"
	r.a.Apply(one(stored(1, 0, 2), host))
	r.await(t, 1, 4, 0)
	if got := r.held(1, 8)[0].Weight; got != 3 {
		t.Errorf("weight %g, want 3", got)
	}
	r.a.Apply(one(removed("gpu", 100, 101)))
	eventually(t, func() (string, bool) {
		got := r.held(1, 8)[0]
		return fmt.Sprintf("%+v", got), got.Blocks == 4 && got.Weight == 2
	})
	adapted, nameless := stored(2, 0, 2), stored(3, 0, 2)
	adapted.LoRA, nameless.Model = "ada", ""
	r.a.Apply(one(adapted, nameless, stored(4, 0, 1)))
	r.await(t, 4, 1, 0)
	r.await(t, 2, 0, 0)
	r.await(t, 3, 0, 0)
	out := make([]kvindex.Held, 2)
	if r.Match(r.keys("ada", 2, 4), time.Now(), out); out[0].Blocks != 2 {
		t.Errorf("with the adapter: %+v", out)
	}
}

func TestLongerEngineBlocks(t *testing.T) {
	db := miniredis.RunT(t)
	r := newReplica(t, db.Addr())
	first := kvevents.Event{Kind: kvevents.Stored, BlockSize: 2 * size, Hashes: []uint64{1, 2}, Tokens: ids(1, 4), Group: -1, Model: "m"}
	next := kvevents.Event{Kind: kvevents.Stored, BlockSize: 2 * size, Hashes: []uint64{3}, Tokens: ids(1, 6)[4*size:], HasParent: true, Parent: 2, Group: -1}
	r.a.Apply(one(first))
	r.await(t, 1, 4, 0)
	other := newReplica(t, db.Addr()) // knows of no block
	other.a.Apply(one(next))
	r.await(t, 1, 6, 0)
	third := newReplica(t, db.Addr())
	third.a.Apply(one(removed("", 2)))
	r.await(t, 1, 2, 0)
	if left := len(db.Keys()); left != 4+2 {
		t.Errorf("left %v", db.Keys())
	}
}

func TestClearedServersAreSwept(t *testing.T) {
	db := miniredis.RunT(t)
	r, other := newReplica(t, db.Addr()), newReplica(t, db.Addr())
	for c := range uint32(80) { // more than a page
		other.a.Apply(one(stored(1000+c, 0, 8)))
		other.b.Apply(one(stored(1000+c, 0, 1)))
	}
	r.await(t, 1079, 8, 1)
	// This one knows none of them. What comes right after the clearing stays.
	r.a.Apply(one(kvevents.Event{Kind: kvevents.Cleared}, stored(1079, 0, 2), stored(1, 0, 5)))
	for _, c := range []uint32{1000, 1040, 1078} {
		r.await(t, c, 0, 1)
	}
	r.await(t, 1079, 2, 1)
	r.await(t, 1, 5, 0)
	eventually(t, func() (string, bool) { // names of blocks that nobody holds go, too, at the next sweep at the latest
		if r.store.State().Waiting == 0 {
			r.b.Clear()
		}
		n := len(db.Keys())
		return fmt.Sprintf("%d keys left", n), n == 2*(2+5)
	})
	// A server that goes away takes its blocks along, and one of the same name that comes is not swept.
	r.a.Remove()
	again := r.NewServer("10.0.0.1:8000")
	again.Apply(one(stored(7, 0, 3)))
	r.await(t, 1, 0, 0)
	r.await(t, 7, 3, 0)
	again.Remove()
	eventually(t, func() (string, bool) { return fmt.Sprint(db.Keys()), r.held(7, 8)[0].Blocks == 0 })
}

func TestTheFirstMessageOfAnEngineMakesOthersOld(t *testing.T) {
	db := miniredis.RunT(t)
	r := newReplica(t, db.Addr())
	r.a.Apply(one(stored(1, 0, 8)))
	r.await(t, 1, 8, 0)
	first := stored(2, 0, 4)
	first.First = true
	newReplica(t, db.Addr()).a.Apply(one(first))
	r.await(t, 1, 0, 0)
	r.await(t, 2, 4, 0)
}

func TestAssumptionsCountBesides(t *testing.T) {
	db := miniredis.RunT(t)
	r := newReplica(t, db.Addr())
	r.a.Apply(one(stored(1, 0, 2)))
	r.await(t, 1, 2, 0)
	r.Assume(r.a, r.keys("m", 1, 4), time.Now().Add(time.Hour))
	r.Assume(r.b, r.keys("m", 1, 1), time.Now().Add(time.Hour))
	r.await(t, 1, 4, 1)
	if got := len(db.Keys()); got != 4 {
		t.Errorf("assumptions were written: %v", db.Keys())
	}
}

func TestLongPromptsAreReadInParts(t *testing.T) {
	db := miniredis.RunT(t)
	r := newReplica(t, db.Addr())
	r.a.Apply(one(stored(1, 0, 700)))
	r.b.Apply(one(stored(1, 0, 65)))
	eventually(t, func() (string, bool) {
		got := blocks(r.held(1, 900))
		return fmt.Sprint(got), fmt.Sprint(got) == "[700 65]"
	})
}

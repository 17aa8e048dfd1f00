package command

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/switchyard/switchyard/internal/pipeline"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/kube"
)

// Paths of objects, by the beginning of their collection's.
const (
	current = "/apis/llm-d.ai/v1alpha2/namespaces/models/"
	older   = "/apis/inference.networking.x-k8s.io/v1alpha2/namespaces/models/"
)

func ofOlderGroup(manifest string) string {
	return strings.ReplaceAll(manifest, "llm-d.ai/v1alpha2", "inference.networking.x-k8s.io/v1alpha2")
}

func renamed(manifest, from, to string) string { return strings.ReplaceAll(manifest, from, to) }

// reporter is all of a picker that has to do with statuses.
type reporter struct {
	t    *testing.T
	said *syncBuffer
}

type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.text.String(), text)
}

// startReporter runs one until the end of the test; lease is nil for one that need not lead.
func startReporter(t *testing.T, api *rulesAPI, name string, lease *leadership) *reporter {
	t.Helper()
	r := &reporter{t: t, said: &syncBuffer{}}
	log := slog.New(slog.NewTextHandler(r.said, nil))
	config := rest.CopyConfig(api.config())
	config.UserAgent = name
	objects, err := kube.New(kube.Options{Config: config, Namespaces: []string{"models"}, Kinds: (&poolFlags{}).kinds(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	reports, err := newRuleStatuses(config, source.Key{Namespace: "models", Name: "llama"}, log)
	if err != nil {
		t.Fatal(err)
	}
	store := source.NewStore()
	loop := pipeline.New(pipeline.Options{Store: store, Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	for _, run := range []func(context.Context) error{
		func(ctx context.Context) error { return objects.Run(ctx, store) }, loop.Run,
		func(ctx context.Context) error { return reports.run(ctx, loop, lease) },
	} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	return r
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

// expectTold waits until an object has these conditions.
func (a *rulesAPI) expectTold(t *testing.T, at string, want ...string) {
	t.Helper()
	var got []string
	defer func() {
		if !slices.Equal(got, want) {
			t.Logf("%s: %q", at, got)
		}
	}()
	eventually(t, at+" is told", func() bool { got = a.told(at); return slices.Equal(got, want) })
}

// settle waits until the pickers have acted on all that was changed before: on an object that is made for that.
func (a *rulesAPI) settle(t *testing.T, name string) {
	t.Helper()
	a.put(t, renamed(objectiveManifest, "chat", name))
	eventually(t, name+" is told", func() bool { return len(a.told(current+"inferenceobjectives/"+name)) == 2 })
}

var acceptedChat = []string{
	"Accepted=True Accepted @1: requests of InferencePool models/llama may name it",
	"Ready=True Ready @1: requests of InferencePool models/llama that name it have priority 7",
}

var acceptedCanary = []string{
	"Accepted=True Accepted @1: models that requests of InferencePool models/llama ask for are rewritten",
	"Conflicted=False NoConflicts @1: no other rule has the say about a model of this one",
}

func TestStatusesOfAStandalonePicker(t *testing.T) {
	noLeaks(t)
	api := newRulesAPI(t, objectiveManifest, rewriteManifest,
		ofOlderGroup(renamed(objectiveManifest, "chat", "batch")), ofOlderGroup(renamed(rewriteManifest, "canary", "rival")),
		renamed(renamed(objectiveManifest, "chat", "other"), "llama", "another-pool"),
		renamed(renamed(rewriteManifest, "canary", "other"), "llama", "another-pool"))
	api.say(current+"inferenceobjectives/chat", map[string]any{"type": "Theirs", "status": "True", "reason": "R", "message": "m",
		"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1})
	startReporter(t, api, "picker", nil)
	api.expectTold(t, current+"inferenceobjectives/chat", append([]string{"Theirs=True R @1: m"}, acceptedChat...)...)
	api.expectTold(t, current+"inferencemodelrewrites/canary", acceptedCanary...)
	api.expectTold(t, older+"inferenceobjectives/batch", acceptedChat...)
	api.expectTold(t, older+"inferencemodelrewrites/rival", acceptedCanary[0], "Conflicted=True ModelTaken @1: spec.rules[0].matches[0]: "+
		`model "m" is rewritten by InferenceModelRewrite models/canary, which comes before this one (the older does, then the first by name); remove it here or there`)
	want := []string{"picker inference.networking.x-k8s.io/v1alpha2/namespaces/models/inferencemodelrewrites/rival",
		"picker inference.networking.x-k8s.io/v1alpha2/namespaces/models/inferenceobjectives/batch",
		"picker llm-d.ai/v1alpha2/namespaces/models/inferencemodelrewrites/canary", "picker llm-d.ai/v1alpha2/namespaces/models/inferenceobjectives/chat"}
	if got := api.written(); !slices.Equal(got, want) {
		t.Errorf("written:\n%s", strings.Join(got, "\n"))
	}

	api.put(t, renamed(objectiveManifest, "priority: 7", "priority: -2"))
	api.expectTold(t, current+"inferenceobjectives/chat", "Theirs=True R @1: m", renamed(acceptedChat[0], "@1", "@2"),
		"Ready=True Ready @2: requests of InferencePool models/llama that name it have priority -2")

	// One of the current group takes over: of the other objects, that is told to whom it hides alone.
	api.put(t, renamed(objectiveManifest, "chat", "batch"))
	hidden := "InferenceObjective.llm-d.ai of the same name is there, and is the one that counts; delete this one of the older group"
	api.expectTold(t, older+"inferenceobjectives/batch", "Accepted=False Superseded @1: "+hidden, "Ready=False Superseded @1: "+hidden)
	api.expectTold(t, current+"inferenceobjectives/batch", acceptedChat...)
	if got := api.written(); len(got) != len(want)+3 {
		t.Errorf("written:\n%s", strings.Join(got, "\n"))
	}
	for _, at := range []string{"inferenceobjectives/other", "inferencemodelrewrites/other"} {
		if told := api.told(current + at); told != nil {
			t.Errorf("%s of another pool is told %q", at, told)
		}
	}
}

// TestStatusesByTheCommand starts the picker as it is.
func TestStatusesByTheCommand(t *testing.T) {
	noLeaks(t)
	api := newRulesAPI(t, objectiveManifest, ofOlderGroup(rewriteManifest))
	startEPP(t, "--kubeconfig", api.kubeconfig(t), "--pool-name", "llama", "--pool-namespace", "models")
	api.expectTold(t, current+"inferenceobjectives/chat", acceptedChat...)
	api.expectTold(t, older+"inferencemodelrewrites/canary", acceptedCanary...)
}

// TestTheLeaderAloneWritesStatuses has the lead pass from one to another and back.
func TestTheLeaderAloneWritesStatuses(t *testing.T) {
	noLeaks(t)
	api := newRulesAPI(t, objectiveManifest)
	first, second := newTestLeadership(), newTestLeadership()
	first.set(t.Context(), true)
	startReporter(t, api, "first", first)
	startReporter(t, api, "second", second)
	for i, leader := range []string{"first", "second", "first"} {
		first.set(t.Context(), leader == "first")
		second.set(t.Context(), leader == "second")
		api.settle(t, "settle-"+string(rune('a'+i)))
	}
	want := []string{"first chat", "first settle-a", "first settle-c", "second settle-b"}
	var got []string
	for _, line := range api.written() {
		who, at, _ := strings.Cut(line, " ")
		got = append(got, who+" "+at[strings.LastIndexByte(at, '/')+1:])
	}
	if !slices.Equal(got, want) {
		t.Errorf("written: %q, want %q", got, want)
	}
}

func newTestLeadership() *leadership {
	return &leadership{changed: func() {}, turned: make(chan struct{})}
}

// TestReplicasThatAllWriteSayItOnce lets three write without a leader.
func TestReplicasThatAllWriteSayItOnce(t *testing.T) {
	noLeaks(t)
	api := newRulesAPI(t, objectiveManifest, rewriteManifest)
	for _, name := range []string{"one", "two", "three"} {
		startReporter(t, api, name, nil)
	}
	api.expectTold(t, current+"inferenceobjectives/chat", acceptedChat...)
	api.expectTold(t, current+"inferencemodelrewrites/canary", acceptedCanary...)
	api.settle(t, "settle")
	var objects []string
	for _, line := range api.written() {
		objects = append(objects, line[strings.LastIndexByte(line, '/')+1:])
	}
	if slices.Sort(objects); !slices.Equal(objects, []string{"canary", "chat", "settle"}) {
		t.Errorf("written: %q", objects)
	}
}

// TestARoleThatDoesNotAllowStatuses is that of the llm-d Router's charts.
func TestARoleThatDoesNotAllowStatuses(t *testing.T) {
	noLeaks(t)
	api := newRulesAPI(t, objectiveManifest, rewriteManifest, renamed(objectiveManifest, "chat", "more"))
	api.denied = true
	r := startReporter(t, api, "picker", nil)
	eventually(t, "each is tried", func() bool { return api.attempted() == 3 })
	if n := r.said.count("level=INFO msg=\"statuses are not written"); n != 1 {
		t.Errorf("told %d times", n)
	}
	if n := r.said.count("level=WARN") + r.said.count("level=ERROR"); n != 0 {
		t.Errorf("%d warnings:\n%s", n, r.said.text.String())
	}
	// Once it is allowed, a change is enough.
	api.mu.Lock()
	api.denied = false
	api.mu.Unlock()
	api.put(t, renamed(objectiveManifest, "priority: 7", "priority: 8"))
	eventually(t, "the change is told", func() bool { return len(api.told(current+"inferenceobjectives/chat")) == 2 })
	if n := api.attempted(); n != 4 {
		t.Errorf("%d attempts", n)
	}
}

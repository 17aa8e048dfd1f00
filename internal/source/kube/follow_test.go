package kube

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/switchyard/switchyard/internal/source"
)

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard())
	ctrllog.SetLogger(logr.Discard())
	goleak.VerifyTestMain(m)
}

// follower is a running Source and the reader of its store.
type follower struct {
	t      *testing.T
	source *Source
	store  *source.Store
	log    *lines
}

// lines is a log of which the tests count lines.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var quickTiming = timing{
	quiet: 10 * time.Millisecond, limit: 100 * time.Millisecond, status: 100 * time.Millisecond,
	patience: 300 * time.Millisecond, confirm: 50 * time.Millisecond,
	poll: pollTiming{first: 20 * time.Millisecond, most: 100 * time.Millisecond, complete: 100 * time.Millisecond},
}

// begin runs a Source until the test ends.
func begin(t *testing.T, server *apiServer, o Options, adjust ...func(*timing)) *follower {
	t.Helper()
	f := &follower{t: t, store: source.NewStore(), log: &lines{}}
	o.Config, o.Log = server.config(), slog.New(slog.NewTextHandler(f.log, nil))
	var err error
	if f.source, err = New(o); err != nil {
		t.Fatal(err)
	}
	f.source.timing = quickTiming
	for _, change := range adjust {
		change(&f.source.timing)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.source.Run(ctx, f.store) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
		if t.Failed() {
			t.Logf("log of the source:\n%s", f.log)
		}
	})
	return f
}

// follow begins and waits for the first view.
func follow(t *testing.T, server *apiServer, o Options, adjust ...func(*timing)) *follower {
	t.Helper()
	f := begin(t, server, o, adjust...)
	f.until("the first view", func(source.Update) bool { return true })
	return f
}

const patience = 20 * time.Second

// until waits for a view that fits.
func (f *follower) until(what string, fits func(source.Update) bool) source.Update {
	f.t.Helper()
	deadline := time.After(patience)
	for {
		if u := f.store.Latest(); u.Objects != nil && fits(u) {
			return u
		}
		select {
		case <-f.store.Changed():
		case <-deadline:
			f.t.Fatalf("did not come: %s; warnings are %v", what, f.store.Latest().Warnings)
		}
	}
}

// has waits until an object is in the view, or is not. The kind is given by its id.
func (f *follower) has(kind, namespace, name string, want bool) source.Update {
	f.t.Helper()
	what := kind + " " + namespace + "/" + name
	if !want {
		what += " gone"
	}
	kind, group, _ := strings.Cut(kind, ".")
	return f.until(what, func(u source.Update) bool {
		_, ok := u.Objects.Find(source.Ref{Group: group, Kind: kind, Namespace: namespace, Name: name})
		return ok == want
	})
}

// puts counts the views that were handed on.
func (f *follower) puts() int {
	var m dto.Metric
	if err := f.source.metrics.puts.Write(&m); err != nil {
		f.t.Fatal(err)
	}
	return int(m.GetCounter().GetValue())
}

// nothingComes fails when a view is put within a while that is long enough for several.
func (f *follower) nothingComes(before int) {
	f.t.Helper()
	deadline := time.After(3 * quickTiming.limit)
	for {
		select {
		case <-f.store.Changed():
			if n := f.puts(); n != before {
				f.t.Fatalf("%d views were put, want none after the first %d", n, before)
			}
		case <-deadline:
			if n := f.puts(); n != before {
				f.t.Fatalf("%d views were put, want none after the first %d", n, before)
			}
			return
		}
	}
}

// eventually waits for a condition that no view tells of.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("did not come: %s", what)
		}
	}
}

func warningOf(u source.Update, kind string) (source.Problem, bool) {
	for _, p := range u.Warnings {
		if p.Object.Kind == kind {
			return p, true
		}
	}
	return source.Problem{}, false
}

// manifest makes an object of the kind with this id; apiVersion is that of the kind's best version unless it is given as fields.
func manifest(id, namespace, name string, fields map[string]any) map[string]any {
	meta := map[string]any{"name": name}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	o := map[string]any{"metadata": meta}
	for _, k := range kinds {
		if k.id() == id {
			o["kind"], o["apiVersion"] = k.name, k.groupVersion(k.versions[0]).String()
		}
	}
	for k, v := range fields {
		if more, ok := v.(map[string]any); ok && k == "metadata" {
			for k, v := range more {
				meta[k] = v
			}
			continue
		}
		o[k] = v
	}
	return o
}

func podManifest(namespace, name, ip string) map[string]any {
	return manifest("Pod", namespace, name, map[string]any{"status": map[string]any{"podIP": ip}})
}

package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// listener is a plugin from outside that notes what sources tell it.
type listener struct {
	Group string `json:"group"`

	mu   sync.Mutex
	told []string
}

// listeners are those that configurations have made, the latest last.
var listeners struct {
	mu  sync.Mutex
	all []*listener
}

func init() {
	build := func(parameters []byte) (*listener, error) {
		l := &listener{}
		if err := scheduling.DecodeParameters(parameters, l); err != nil {
			return nil, err
		}
		listeners.mu.Lock()
		defer listeners.mu.Unlock()
		listeners.all = append(listeners.all, l)
		return l, nil
	}
	config.RegisterObjectExtractor("test-listener", build)
}

func latestListener() *listener {
	listeners.mu.Lock()
	defer listeners.mu.Unlock()
	return listeners.all[len(listeners.all)-1]
}

// ObjectKind implements datalayer.ObjectExtractor.
func (l *listener) ObjectKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: l.Group, Version: "v1alpha2", Kind: "InferenceObjective"}
}

// ExtractObject implements datalayer.ObjectExtractor.
func (l *listener) ExtractObject(_ context.Context, event datalayer.ObjectEvent) error {
	priority := event.Object.Object["spec"].(map[string]any)["priority"]
	return l.note(event.Gone, fmt.Sprintf("%s %s/%s %v", event.Object.GetKind(), event.Object.GetNamespace(), event.Object.GetName(), priority))
}

// ExtractEndpoint implements datalayer.EndpointExtractor.
func (l *listener) ExtractEndpoint(_ context.Context, event datalayer.EndpointEvent) error {
	return l.note(event.Gone, event.Pool+" "+event.Endpoint.Name+" "+event.Endpoint.Address)
}

func (l *listener) note(gone bool, what string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	sign := "+ "
	if gone {
		sign = "- "
	}
	l.told = append(l.told, sign+what)
	return errors.New("none of it is of use") // which is no reason not to tell the rest
}

func (l *listener) expect(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	defer func() {
		if t.Failed() {
			t.Logf("told %q", got)
		}
	}()
	eventually(t, fmt.Sprintf("told %q", want), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		got = slices.Sorted(slices.Values(l.told))
		return slices.Equal(got, slices.Sorted(slices.Values(want)))
	})
}

const listening = `apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: endpoint-notification-source}
- {type: k8s-notification-source, parameters: {group: llm-d.ai, version: v1alpha2, kind: InferenceObjective}}
- {name: mine, type: test-listener, parameters: {group: llm-d.ai}}
- {type: random-picker}
`

// TestPluginsAreToldOfEndpointsAndObjects runs a picker with a plugin from outside that two sources tell, and changes its
// configuration.
func TestPluginsAreToldOfEndpointsAndObjects(t *testing.T) {
	noLeaks(t)
	api := newRulesAPI(t, objectiveManifest, renamed(objectiveManifest, "chat", "batch"))
	file := filepath.Join(t.TempDir(), "picker.yaml")
	writeFile(t, file, listening)
	startEPP(t, "--kubeconfig", api.kubeconfig(t), "--pool-name", "llama", "--pool-namespace", "models", "--config-file", file)
	first := latestListener()
	api.expectTold(t, current+"inferenceobjectives/chat", acceptedChat...)
	api.expectTold(t, current+"inferenceobjectives/batch", acceptedChat...)
	endpoint := "+ models/llama llama-0-rank-0 127.0.0.9:1"
	eventually(t, "the plugin is told", func() bool {
		first.mu.Lock()
		defer first.mu.Unlock()
		return slices.Contains(first.told, endpoint) && slices.Contains(first.told, "+ InferenceObjective models/chat 7") &&
			slices.Contains(first.told, "+ InferenceObjective models/batch 7")
	})
	api.put(t, renamed(objectiveManifest, "priority: 7", "priority: 8"))
	api.remove(current + "inferenceobjectives/batch")
	eventually(t, "the plugin is told of changes", func() bool {
		first.mu.Lock()
		defer first.mu.Unlock()
		return slices.Contains(first.told, "+ InferenceObjective models/chat 8") && slices.Contains(first.told, "- InferenceObjective models/batch 7")
	})

	// Another configuration has another plugin, which is told of what there is.
	next := file + ".next"
	writeFile(t, next, listening+"- {type: queue-scorer}\ndataLayer:\n  sources:\n  - {pluginRef: k8s-notification-source, extractors: [{pluginRef: mine}]}\n")
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another configuration is in force", func() bool { return latestListener() != first })
	latestListener().expect(t, "+ InferenceObjective models/chat 8")
}

func TestAKindThatIsNotThereIsWaitedFor(t *testing.T) {
	noLeaks(t)
	api := newRulesAPI(t, objectiveManifest)
	var mu sync.Mutex
	served, asked := false, 0
	api.mux.HandleFunc("GET /apis/example.com/v1", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if asked++; !served {
			refuse(w, 404, "NotFound")
			return
		}
		answer(w, 200, map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "example.com/v1", "resources": []any{
			map[string]any{"name": "racks/status", "kind": "Rack"}, map[string]any{"name": "racks", "kind": "Rack"}}})
	})
	// It is a kind of the cluster, not of a namespace.
	api.mux.HandleFunc("GET /apis/example.com/v1/racks", list("Rack", "example.com/v1", "{apiVersion: example.com/v1, kind: Rack, metadata: {name: r1}}"))
	said := &syncBuffer{}
	watcher := &objectWatcher{config: api.config(), namespace: "models", log: slog.New(slog.NewTextHandler(said, nil)), first: time.Millisecond, most: 2 * time.Millisecond}
	told := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	kind := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Rack"}
	go func() {
		ended <- watcher.Watch(ctx, kind, func(e datalayer.ObjectEvent) { told <- fmt.Sprint(e.Object.GetName(), " ", e.Gone) })
	}()
	eventually(t, "it is asked again", func() bool { mu.Lock(); defer mu.Unlock(); return asked > 3 })
	if n := said.count("does not serve it"); n != 1 {
		t.Errorf("told %d times", n)
	}
	mu.Lock()
	served = true
	mu.Unlock()
	select {
	case got := <-told:
		if got != "r1 false" {
			t.Errorf("told %q", got)
		}
	case <-time.After(patience):
		t.Error("nothing is told")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestASourceOfObjectsWithoutACluster(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "pool.yaml"), pool)
	p := startEPP(t, "-f", dir, "--config-text", listening)
	latestListener().expect(t, "+ models/llama llama-0-rank-0 127.0.0.9:1")
	p.eventually("the log tells", func() bool {
		line := p.log.line("a plugin has stopped working; requests go on without what it knows")
		return line != nil && line["plugin"] == "k8s-notification-source" && strings.Contains(line["error"].(string), "no cluster")
	})
}

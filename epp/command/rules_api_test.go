package command

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

// rulesAPI is as much of an API server as the statuses of objectives and rewrites need, in both groups: its objects can be listed,
// watched and read, and their statuses patched.
type rulesAPI struct {
	*clusterAPI
	done chan struct{}

	mu      sync.Mutex
	version int
	objects map[string]map[string]any // by path
	events  []ruleEvent
	more    chan struct{} // closed and replaced with every event
	tried   []string      // who wanted to write a status, and where
	wrote   []string      // who did
	denied  bool          // the role does not allow to write
}

type ruleEvent struct {
	version int
	at      string // path of the object
	kind    string
	object  map[string]any
}

var ruleGroups = []string{"llm-d.ai", "inference.networking.x-k8s.io"}

// newRulesAPI serves a pool and the objects of some manifests.
func newRulesAPI(t *testing.T, manifests ...string) *rulesAPI {
	a := &rulesAPI{clusterAPI: newClusterAPI(t), done: make(chan struct{}), objects: map[string]map[string]any{}, more: make(chan struct{})}
	t.Cleanup(func() { close(a.done) })
	for _, group := range ruleGroups {
		a.mux.HandleFunc("GET /apis/"+group, func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 200, map[string]any{"kind": "APIGroup", "apiVersion": "v1", "name": group,
				"versions": []any{map[string]any{"groupVersion": group + "/v1alpha2", "version": "v1alpha2"}}})
		})
		a.mux.HandleFunc("GET /apis/"+group+"/v1alpha2", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 200, map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group + "/v1alpha2", "resources": []any{
				map[string]any{"name": "inferenceobjectives", "kind": "InferenceObjective", "namespaced": true},
				map[string]any{"name": "inferencemodelrewrites", "kind": "InferenceModelRewrite", "namespaced": true}}})
		})
		all := "/apis/" + group + "/v1alpha2/namespaces/models/{kind}"
		a.mux.HandleFunc("GET "+all, a.list)
		a.mux.HandleFunc("GET "+all+"/{name}", a.get)
		a.mux.HandleFunc("PATCH "+all+"/{name}/status", a.patch)
	}
	for _, manifest := range manifests {
		a.put(t, manifest)
	}
	return a
}

// put creates an object, or replaces its spec.
func (a *rulesAPI) put(t *testing.T, manifest string) {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(manifest), &object); err != nil {
		t.Fatal(err)
	}
	metadata := object["metadata"].(map[string]any)
	at := "/apis/" + object["apiVersion"].(string) + "/namespaces/models/" + strings.ToLower(object["kind"].(string)) + "s/" + metadata["name"].(string)
	a.change(at, func(known map[string]any) {
		if known["metadata"] == nil {
			metadata["uid"], metadata["generation"] = at, 0
			maps.Copy(known, object)
		}
		known["spec"] = object["spec"]
		metadata = known["metadata"].(map[string]any)
		metadata["generation"] = metadata["generation"].(int) + 1
	})
}

// change replaces an object by a copy with something changed, and tells watches.
func (a *rulesAPI) change(at string, how func(map[string]any)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changeLocked(at, how)
}

func (a *rulesAPI) changeLocked(at string, how func(map[string]any)) {
	what, known := "MODIFIED", a.objects[at]
	if known == nil {
		what = "ADDED"
	}
	object := maps.Clone(known)
	if object == nil {
		object = map[string]any{}
	} else {
		object["metadata"] = maps.Clone(object["metadata"].(map[string]any))
	}
	how(object)
	a.version++
	object["metadata"].(map[string]any)["resourceVersion"] = fmt.Sprint(a.version)
	a.objects[at] = object
	a.events = append(a.events, ruleEvent{a.version, at, what, object})
	close(a.more)
	a.more = make(chan struct{})
}

// remove deletes an object.
func (a *rulesAPI) remove(at string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	a.events = append(a.events, ruleEvent{a.version, at, "DELETED", a.objects[at]})
	delete(a.objects, at)
	close(a.more)
	a.more = make(chan struct{})
}

func (a *rulesAPI) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	switch {
	case query.Get("sendInitialEvents") != "":
		refuse(w, 422, "Invalid")
		return
	case query.Get("watch") != "":
		a.watch(w, r)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	items := []any{}
	for _, at := range slices.Sorted(maps.Keys(a.objects)) {
		if path.Dir(at) == r.URL.Path {
			items = append(items, a.objects[at])
		}
	}
	kind := map[string]string{"inferenceobjectives": "InferenceObjectiveList", "inferencemodelrewrites": "InferenceModelRewriteList"}[r.PathValue("kind")]
	answer(w, 200, map[string]any{"kind": kind, "apiVersion": strings.Split(r.URL.Path, "/")[2] + "/v1alpha2",
		"metadata": map[string]any{"resourceVersion": fmt.Sprint(a.version)}, "items": items})
}

func (a *rulesAPI) watch(w http.ResponseWriter, r *http.Request) {
	var from int
	_, _ = fmt.Sscan(r.URL.Query().Get("resourceVersion"), &from)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(200)
	for {
		a.mu.Lock()
		for _, event := range a.events {
			if event.version > from && path.Dir(event.at) == r.URL.Path {
				_ = json.NewEncoder(w).Encode(map[string]any{"type": event.kind, "object": event.object})
			}
		}
		from = max(from, a.version)
		more := a.more
		a.mu.Unlock()
		w.(http.Flusher).Flush()
		select {
		case <-more:
		case <-r.Context().Done():
			return
		case <-a.done:
			return
		}
	}
}

func (a *rulesAPI) get(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if object := a.objects[r.URL.Path]; object != nil {
		answer(w, 200, object)
		return
	}
	refuse(w, 404, "NotFound")
}

// patch merges conditions as a whole, as a merge patch does with lists.
func (a *rulesAPI) patch(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	var sent struct {
		Metadata struct{ ResourceVersion string }
		Status   map[string]any
	}
	if err := json.Unmarshal(text, &sent); err != nil {
		panic(err)
	}
	at := path.Dir(r.URL.Path)
	a.mu.Lock()
	defer a.mu.Unlock()
	line := r.UserAgent() + " " + strings.TrimPrefix(at, "/apis/")
	a.tried = append(a.tried, line)
	known := a.objects[at]
	switch {
	case a.denied:
		refuse(w, 403, "Forbidden")
	case known == nil:
		refuse(w, 404, "NotFound")
	case known["metadata"].(map[string]any)["resourceVersion"] != sent.Metadata.ResourceVersion:
		refuse(w, 409, "Conflict")
	default:
		a.wrote = append(a.wrote, line)
		a.changeLocked(at, func(object map[string]any) { object["status"] = sent.Status })
		answer(w, 200, a.objects[at])
	}
}

// say is what somebody else does who writes a status.
func (a *rulesAPI) say(at string, conditions ...map[string]any) {
	a.change(at, func(object map[string]any) {
		for _, c := range conditions {
			if c["observedGeneration"] == nil {
				c["observedGeneration"] = object["metadata"].(map[string]any)["generation"]
			}
		}
		object["status"] = map[string]any{"conditions": conditions}
	})
}

// told are the conditions of an object, each as "type=status reason @generation: message".
func (a *rulesAPI) told(at string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	text, err := json.Marshal(a.objects[at]["status"])
	if err != nil {
		panic(err)
	}
	var status struct {
		Conditions []struct {
			Type, Status, Reason, Message string
			ObservedGeneration            int
		}
	}
	if err := json.Unmarshal(text, &status); err != nil {
		panic(err)
	}
	var out []string
	for _, c := range status.Conditions {
		out = append(out, fmt.Sprintf("%s=%s %s @%d: %s", c.Type, c.Status, c.Reason, c.ObservedGeneration, c.Message))
	}
	return out
}

// written is who wrote where until now, attempted who tried to.
func (a *rulesAPI) written() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(slices.Values(a.wrote))
}

func (a *rulesAPI) attempted() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.tried)
}

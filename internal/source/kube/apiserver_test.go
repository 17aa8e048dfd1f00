package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// apiServer is a small API server: discovery, lists and watches with resource versions, in JSON. It serves the
// resources that it was told to, keyed by group/version/plural, with "" as the core group.
type apiServer struct {
	t      *testing.T
	http   *httptest.Server
	mu     sync.Mutex
	cond   *sync.Cond
	served map[string]*resource
	rv     int
	denied func(path string, verb string) bool
	slow   map[string]chan struct{} // lists of a plural wait until the channel is closed
	asked  map[string]int           // requests by verb and path
	cut    int                      // watches that began before this count end
	down   bool
	stream bool // lists may be streamed by a watch
	silent bool // discovery knows no group
}

type resource struct {
	kind    string
	objects map[string]map[string]any // by namespace/name
	events  []event
	oldest  int // events before it are forgotten
}

type event struct {
	rv     int
	kind   string
	object map[string]any
}

func newAPIServer(t *testing.T) *apiServer {
	s := &apiServer{t: t, served: map[string]*resource{}, slow: map[string]chan struct{}{}, asked: map[string]int{}, rv: 100}
	s.cond = sync.NewCond(&s.mu)
	for _, k := range kinds {
		s.serve(k.group, k.versions[0], k.resource, k.name)
	}
	s.open()
	t.Cleanup(s.close)
	return s
}

// config reaches the server wherever it listens now.
func (s *apiServer) config() *rest.Config {
	return &rest.Config{Host: "http://api.test", QPS: -1, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		s.mu.Lock()
		down, address := s.down, s.http.Listener.Addr().String()
		s.mu.Unlock()
		if down {
			return nil, errors.New("connection refused")
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}}
}

func (s *apiServer) open() {
	server := httptest.NewServer(http.HandlerFunc(s.handle))
	s.mu.Lock()
	s.http, s.down = server, false
	s.mu.Unlock()
}

// close cuts every connection and stops listening.
func (s *apiServer) close() {
	s.mu.Lock()
	if s.down {
		s.mu.Unlock()
		return
	}
	s.down = true
	s.cut++
	for _, c := range s.slow {
		select {
		case <-c:
		default:
			close(c)
		}
	}
	s.cond.Broadcast()
	server := s.http
	s.mu.Unlock()
	server.CloseClientConnections()
	server.Close()
}

func (s *apiServer) serve(group, version, plural, kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served[group+"/"+version+"/"+plural] = &resource{kind: kind, objects: map[string]map[string]any{}}
}

// unserve deletes a CRD's version: the objects go, with their events, and watches of it end.
func (s *apiServer) unserve(group, version, plural string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := group + "/" + version + "/" + plural
	if r := s.served[at]; r != nil {
		for _, o := range r.objects {
			s.emit(r, "DELETED", o)
		}
	}
	delete(s.served, at)
	s.cond.Broadcast()
}

// put creates or replaces an object, which names its own kind.
func (s *apiServer) put(o map[string]any) { s.putAll(o) }

func (s *apiServer) putAll(objects ...map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range objects {
		r, key := s.find(o)
		how := "ADDED"
		if r.objects[key] != nil {
			how = "MODIFIED"
		}
		r.objects[key] = o
		s.emit(r, how, o)
	}
}

func (s *apiServer) remove(o map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, key := s.find(o)
	delete(r.objects, key)
	s.emit(r, "DELETED", o)
}

func (s *apiServer) find(o map[string]any) (*resource, string) {
	group, version, ok := strings.Cut(o["apiVersion"].(string), "/")
	if !ok {
		group, version = "", group
	}
	meta := o["metadata"].(map[string]any)
	namespace, _ := meta["namespace"].(string)
	for at, r := range s.served {
		if r.kind == o["kind"] && strings.HasPrefix(at, group+"/"+version+"/") {
			return r, namespace + "/" + meta["name"].(string)
		}
	}
	panic(fmt.Sprintf("%v of %v is not served", o["kind"], o["apiVersion"]))
}

func (s *apiServer) emit(r *resource, how string, o map[string]any) {
	s.rv++
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	var copied map[string]any
	if err := json.Unmarshal(text, &copied); err != nil {
		panic(err)
	}
	meta := copied["metadata"].(map[string]any)
	meta["resourceVersion"] = strconv.Itoa(s.rv)
	if meta["uid"] == nil {
		meta["uid"] = fmt.Sprint("uid-", meta["namespace"], "-", meta["name"])
	}
	namespace, _ := meta["namespace"].(string)
	if key := namespace + "/" + meta["name"].(string); how != "DELETED" {
		r.objects[key] = copied
	}
	r.events = append(r.events, event{s.rv, how, copied})
	s.cond.Broadcast()
}

// forget drops the history, so that a watch from the past gets 410 and has to list again.
func (s *apiServer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.served {
		r.events, r.oldest = nil, s.rv
	}
}

func (s *apiServer) deny(f func(path, verb string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied = f
}

// hold makes lists of a resource wait until the function it returns is called.
func (s *apiServer) hold(plural string) (release func()) {
	c := make(chan struct{})
	s.mu.Lock()
	s.slow[plural] = c
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		delete(s.slow, plural)
		s.mu.Unlock()
		close(c)
	}
}

// requests tells how often a path was asked for.
func (s *apiServer) requests(verb, path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[verb+" "+path]
}

func (s *apiServer) handle(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	verb := "list"
	if r.URL.Query().Get("watch") != "" {
		verb = "watch"
	}
	s.mu.Lock()
	s.asked[verb+" "+r.URL.Path]++
	denied := s.denied
	s.mu.Unlock()
	if parts[0] == "apis" && len(parts) <= 3 {
		s.discover(w, parts[1:])
		return
	}
	if denied != nil && denied(r.URL.Path, verb) {
		refuse(w, http.StatusForbidden, "Forbidden", `User "someone" cannot `+verb+" "+r.URL.Path)
		return
	}
	group, rest := "", parts[1:]
	if parts[0] == "apis" {
		group, rest = parts[1], parts[2:]
	}
	version, rest := rest[0], rest[1:]
	namespace := ""
	if len(rest) == 3 && rest[0] == "namespaces" {
		namespace, rest = rest[1], rest[2:]
	}
	at := group + "/" + version + "/" + rest[0]
	name, _ := strings.CutPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name=")
	if strings.Contains(name, "=") {
		name = ""
	}
	keep := func(key string) bool {
		return (namespace == "" || strings.HasPrefix(key, namespace+"/")) && (name == "" || strings.HasSuffix(key, "/"+name))
	}
	streamed := r.URL.Query().Get("sendInitialEvents") != ""
	if streamed && !s.streams() {
		refuse(w, http.StatusUnprocessableEntity, "Invalid", "sendInitialEvents is forbidden for watch")
		return
	}
	if verb == "watch" {
		s.watch(w, r, at, keep, streamed)
		return
	}
	s.list(w, r, at, rest[0], keep)
}

func refuse(w http.ResponseWriter, code int, reason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(status(code, reason, message))
}

func status(code int, reason, message string) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
}

func (s *apiServer) discover(w http.ResponseWriter, parts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var versions, resources []any
	seen := map[string]bool{}
	for at, r := range s.served {
		part := strings.Split(at, "/")
		if part[0] != parts[0] {
			continue
		}
		if !seen[part[1]] {
			seen[part[1]] = true
			versions = append(versions, map[string]any{"groupVersion": part[0] + "/" + part[1], "version": part[1]})
		}
		if len(parts) == 2 && parts[1] == part[1] {
			resources = append(resources, map[string]any{"name": part[2], "kind": r.kind})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case s.silent || len(versions) == 0 || len(parts) == 2 && len(resources) == 0:
		refuse(w, http.StatusNotFound, "NotFound", "not found")
	case len(parts) == 1:
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "APIGroup", "apiVersion": "v1", "name": parts[0], "versions": versions})
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": strings.Join(parts, "/"), "resources": resources})
	}
}

func (s *apiServer) list(w http.ResponseWriter, r *http.Request, at, plural string, keep func(string) bool) {
	s.mu.Lock()
	gate := s.slow[plural]
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-r.Context().Done():
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	res := s.served[at]
	if res == nil {
		refuse(w, http.StatusNotFound, "NotFound", "the server could not find the requested resource")
		return
	}
	items := []any{}
	for key, o := range res.objects {
		if keep(key) {
			items = append(items, o)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": res.kind + "List", "apiVersion": apiVersion(at),
		"metadata": map[string]any{"resourceVersion": strconv.Itoa(s.rv)}, "items": items,
	})
}

func apiVersion(at string) string {
	part := strings.Split(at, "/")
	return strings.TrimPrefix(part[0]+"/"+part[1], "/")
}

func (s *apiServer) watch(w http.ResponseWriter, r *http.Request, at string, keep func(string) bool, streamed bool) {
	from, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	stop := context.AfterFunc(r.Context(), s.wakeAll)
	defer stop()
	s.mu.Lock()
	res, began := s.served[at], s.cut
	s.mu.Unlock()
	if res == nil {
		refuse(w, http.StatusNotFound, "NotFound", "the server could not find the requested resource")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	if streamed {
		from = s.writeAll(w, res, at, keep)
	}
	w.(http.Flusher).Flush()
	for {
		s.mu.Lock()
		var out []event
		for {
			if from < res.oldest {
				out = []event{{0, "ERROR", status(http.StatusGone, "Expired", "too old resource version")}}
				break
			}
			i := slices.IndexFunc(res.events, func(e event) bool { return e.rv > from })
			if i >= 0 {
				out = res.events[i:]
				break
			}
			if r.Context().Err() != nil || s.cut != began || s.served[at] != res {
				s.mu.Unlock()
				return
			}
			s.cond.Wait()
		}
		s.mu.Unlock()
		for _, e := range out {
			if e.kind == "ERROR" || keep(keyOf(e.object)) {
				_ = json.NewEncoder(w).Encode(map[string]any{"type": e.kind, "object": e.object})
			}
			if from = e.rv; e.kind == "ERROR" {
				return
			}
		}
		w.(http.Flusher).Flush()
	}
}

func (s *apiServer) streams() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream
}

// writeAll streams every object, then the bookmark that ends a streamed list, and gives its resource version.
func (s *apiServer) writeAll(w http.ResponseWriter, res *resource, at string, keep func(string) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, o := range res.objects {
		if keep(key) {
			_ = json.NewEncoder(w).Encode(map[string]any{"type": "ADDED", "object": o})
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "BOOKMARK", "object": map[string]any{
		"kind": res.kind, "apiVersion": apiVersion(at), "metadata": map[string]any{
			"resourceVersion": strconv.Itoa(s.rv), "annotations": map[string]any{"k8s.io/initial-events-end": "true"}}}})
	return s.rv
}

func (s *apiServer) wakeAll() {
	s.mu.Lock()
	s.cond.Broadcast()
	s.mu.Unlock()
}

func keyOf(o map[string]any) string {
	meta := o["metadata"].(map[string]any)
	namespace, _ := meta["namespace"].(string)
	return namespace + "/" + meta["name"].(string)
}

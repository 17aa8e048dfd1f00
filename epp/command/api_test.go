package command

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

var discard = slog.New(slog.DiscardHandler)

// clusterAPI is as much of an API server as a picker needs: a pool and a pod, Leases, TokenReviews and SubjectAccessReviews. It knows two tokens: reader may get every page, other may not.
type clusterAPI struct {
	server *httptest.Server
	mux    *http.ServeMux

	mu      sync.Mutex
	version int
	leases  map[string]map[string]any
	reviews map[string]int
}

// newClusterAPI has the objects of the constant pool.
func newClusterAPI(t *testing.T) *clusterAPI {
	t.Helper()
	return newClusterAPIOf(t, pool)
}

// newClusterAPIOf has the objects of a manifest: an InferencePool, then a Pod.
func newClusterAPIOf(t *testing.T, manifest string) *clusterAPI {
	t.Helper()
	a := &clusterAPI{leases: map[string]map[string]any{}, reviews: map[string]int{}}
	mux := http.NewServeMux()
	a.mux = mux
	pools, pods, _ := strings.Cut(manifest, "---\n")
	const group = "/apis/inference.networking.k8s.io"
	mux.HandleFunc("GET "+group, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"kind": "APIGroup", "apiVersion": "v1", "name": "inference.networking.k8s.io",
			"versions": []any{map[string]any{"groupVersion": "inference.networking.k8s.io/v1", "version": "v1"}}})
	})
	mux.HandleFunc("GET "+group+"/v1", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "inference.networking.k8s.io/v1",
			"resources": []any{map[string]any{"name": "inferencepools", "kind": "InferencePool", "namespaced": true}}})
	})
	mux.HandleFunc("GET "+group+"/v1/namespaces/models/inferencepools", list("InferencePool", "inference.networking.k8s.io/v1", pools))
	mux.HandleFunc("GET /api/v1/namespaces/models/pods", list("Pod", "v1", pods))
	const leases = "/apis/coordination.k8s.io/v1/namespaces/models/leases"
	mux.HandleFunc("POST "+leases, a.putLease)
	mux.HandleFunc("PUT "+leases+"/{name}", a.putLease)
	mux.HandleFunc("GET "+leases+"/{name}", a.getLease)
	mux.HandleFunc("POST /apis/authentication.k8s.io/v1/tokenreviews", a.reviewToken)
	mux.HandleFunc("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", reviewAccess)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, 404, "NotFound") })
	a.server = httptest.NewServer(mux)
	t.Cleanup(func() { a.server.CloseClientConnections(); a.server.Close() })
	return a
}

func (a *clusterAPI) config() *rest.Config {
	return &rest.Config{Host: a.server.URL, QPS: 1000, Burst: 1000}
}

func (a *clusterAPI) kubeconfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	writeFile(t, path, fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: %q}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
users: [{name: test, user: {}}]
`, a.server.URL))
	return path
}

func answer(w http.ResponseWriter, code int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(object)
}

func refuse(w http.ResponseWriter, code int, reason string) {
	answer(w, code, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason})
}

// list serves one object that never changes.
func list(kind, apiVersion, text string) http.HandlerFunc {
	var object map[string]any
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		panic(err)
	}
	metadata := object["metadata"].(map[string]any)
	metadata["resourceVersion"], metadata["uid"] = "1", kind
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Query().Get("sendInitialEvents") != "":
			refuse(w, 422, "Invalid")
		case r.URL.Query().Get("watch") != "":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			answer(w, 200, map[string]any{"kind": kind + "List", "apiVersion": apiVersion,
				"metadata": map[string]any{"resourceVersion": "1"}, "items": []any{object}})
		}
	}
}

// read reads the object of a request, which is protobuf or JSON.
func read(r *http.Request, into any) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	if err != nil {
		panic(err)
	}
	asJSON, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(asJSON, into)
	}
	if err != nil {
		panic(err)
	}
}

// putLease creates or updates, unless the version that was read is not the newest.
func (a *clusterAPI) putLease(w http.ResponseWriter, r *http.Request) {
	var object map[string]any
	read(r, &object)
	a.mu.Lock()
	defer a.mu.Unlock()
	metadata := object["metadata"].(map[string]any)
	name := metadata["name"].(string)
	known := a.leases[name]
	switch {
	case r.Method == http.MethodPost && known != nil:
		refuse(w, 409, "AlreadyExists")
		return
	case r.Method == http.MethodPut && known["metadata"].(map[string]any)["resourceVersion"] != metadata["resourceVersion"]:
		refuse(w, 409, "Conflict")
		return
	}
	a.version++
	metadata["resourceVersion"] = fmt.Sprint(a.version)
	object["kind"], object["apiVersion"] = "Lease", "coordination.k8s.io/v1"
	a.leases[name] = object
	answer(w, 200, object)
}

func (a *clusterAPI) getLease(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.leases[r.PathValue("name")]; known != nil {
		answer(w, 200, known)
		return
	}
	refuse(w, 404, "NotFound")
}

// holder is who holds a lease.
func (a *clusterAPI) holder(name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.leases[name]
	if known == nil {
		return ""
	}
	holder, _ := known["spec"].(map[string]any)["holderIdentity"].(string)
	return holder
}

// steal writes another holder into a lease.
func (a *clusterAPI) steal(name, holder string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	a.leases[name]["spec"].(map[string]any)["holderIdentity"] = holder
	a.leases[name]["metadata"].(map[string]any)["resourceVersion"] = fmt.Sprint(a.version)
}

func (a *clusterAPI) reviewToken(w http.ResponseWriter, r *http.Request) {
	var object struct {
		Spec struct{ Token string } `json:"spec"`
	}
	read(r, &object)
	a.mu.Lock()
	a.reviews[object.Spec.Token]++
	a.mu.Unlock()
	status := map[string]any{"authenticated": false}
	if object.Spec.Token == "reader" || object.Spec.Token == "other" {
		status = map[string]any{"authenticated": true, "user": map[string]any{"username": object.Spec.Token, "groups": []string{"people"},
			"uid": "7", "extra": map[string]any{"scopes": []string{"s"}}}}
	}
	answer(w, 201, map[string]any{"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status})
}

func (a *clusterAPI) reviewsOf(token string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reviews[token]
}

// reviewAccess allows reader to get anything, provided that all of its identity was passed on.
func reviewAccess(w http.ResponseWriter, r *http.Request) {
	var object struct {
		Spec struct {
			User                  string
			UID                   string
			Groups                []string
			Extra                 map[string][]string
			NonResourceAttributes struct{ Path, Verb string }
		} `json:"spec"`
	}
	read(r, &object)
	s := object.Spec
	allowed := s.User == "reader" && s.UID == "7" && len(s.Groups) == 1 && len(s.Extra["scopes"]) == 1 &&
		s.NonResourceAttributes.Verb == "get" && strings.HasPrefix(s.NonResourceAttributes.Path, "/")
	answer(w, 201, map[string]any{"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": map[string]any{"allowed": allowed}})
}

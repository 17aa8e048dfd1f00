package rendering

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

// apiServer is as much of one as a picker without a pool needs: Pods that never change, and the Secrets of the release, by their names.
// It lets do what the Roles of the release say, and nothing else.
type apiServer struct {
	t     *testing.T
	url   string
	rules []rbacv1.PolicyRule
	pods  corev1.PodList

	mu      sync.Mutex
	version int
	secrets map[string]*corev1.Secret
	refused []string
}

func startAPI(t *testing.T, objects []object, pods ...corev1.Pod) *apiServer {
	t.Helper()
	a := &apiServer{t: t, secrets: map[string]*corev1.Secret{}, pods: corev1.PodList{
		TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: pods}}
	for _, o := range objects {
		switch o.GetKind() {
		case "Role":
			var role rbacv1.Role
			a.read(o, &role)
			a.rules = append(a.rules, role.Rules...)
		case "Secret":
			var secret corev1.Secret
			a.read(o, &secret)
			secret.ResourceVersion = "0"
			a.secrets[secret.Name] = &secret
		}
	}
	mux := http.NewServeMux()
	const core = "/api/v1/namespaces/" + namespace
	mux.HandleFunc("GET "+core+"/pods", a.servePods)
	mux.HandleFunc("GET "+core+"/secrets/{name}", a.getSecret)
	mux.HandleFunc("PUT "+core+"/secrets/{name}", a.putSecret)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.refuse(w, http.StatusForbidden, r.Method+" "+r.URL.Path)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	a.url = server.URL
	return a
}

func (a *apiServer) read(o object, into any) {
	a.t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, into); err != nil {
		a.t.Fatal(err)
	}
}

func (a *apiServer) kubeconfig() string {
	return writeFile(a.t, "kubeconfig", fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters: [{name: test, cluster: {server: %q}}]\n"+
		"contexts: [{name: test, context: {cluster: test, user: test}}]\nusers: [{name: test, user: {}}]\n", a.url))
}

// allows tells whether a Role of the release does.
func (a *apiServer) allows(verb, resource, name string) bool {
	return slices.ContainsFunc(a.rules, func(r rbacv1.PolicyRule) bool {
		return slices.Contains(r.APIGroups, "") && slices.Contains(r.Resources, resource) && slices.Contains(r.Verbs, verb) &&
			(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, name))
	})
}

func (a *apiServer) refuse(w http.ResponseWriter, code int, what string) {
	if code == http.StatusForbidden {
		a.mu.Lock()
		a.refused = append(a.refused, what)
		a.mu.Unlock()
	}
	reason := map[int]metav1.StatusReason{http.StatusForbidden: metav1.StatusReasonForbidden, http.StatusNotFound: metav1.StatusReasonNotFound,
		http.StatusConflict: metav1.StatusReasonConflict, http.StatusUnprocessableEntity: metav1.StatusReasonInvalid}[code]
	a.answer(w, code, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Code: int32(code), Reason: reason, Message: what})
}

func (a *apiServer) answer(w http.ResponseWriter, code int, what any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(what)
}

func (a *apiServer) servePods(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	switch {
	case !a.allows("list", "pods", "") || !a.allows("watch", "pods", ""):
		a.refuse(w, http.StatusForbidden, "pods")
	case query.Get("sendInitialEvents") != "":
		a.refuse(w, http.StatusUnprocessableEntity, "no list by watching")
	case query.Get("watch") != "":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	default:
		a.answer(w, http.StatusOK, a.pods)
	}
}

func (a *apiServer) getSecret(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if !a.allows("get", "secrets", name) {
		a.refuse(w, http.StatusForbidden, "get secret "+name)
		return
	}
	a.mu.Lock()
	secret := a.secrets[name].DeepCopy()
	a.mu.Unlock()
	if secret == nil {
		a.refuse(w, http.StatusNotFound, name)
		return
	}
	a.answer(w, http.StatusOK, secret)
}

func (a *apiServer) putSecret(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	decoded, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	next, ok := decoded.(*corev1.Secret)
	if err != nil || !ok || !a.allows("update", "secrets", name) {
		a.refuse(w, http.StatusForbidden, fmt.Sprintf("update secret %s: %v", name, err))
		return
	}
	a.mu.Lock()
	if have := a.secrets[name]; have == nil || have.ResourceVersion != next.ResourceVersion {
		a.mu.Unlock()
		a.refuse(w, http.StatusConflict, name)
		return
	}
	next.TypeMeta = metav1.TypeMeta{Kind: "Secret", APIVersion: "v1"}
	a.put(next)
	a.mu.Unlock()
	a.answer(w, http.StatusOK, next)
}

// put keeps a Secret under a new version; mu is held.
func (a *apiServer) put(secret *corev1.Secret) {
	a.version++
	secret.ResourceVersion = strconv.Itoa(a.version)
	a.secrets[secret.Name] = secret.DeepCopy()
}

// empty takes all data out of a Secret, as somebody does who starts over.
func (a *apiServer) empty(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	secret := a.secrets[name].DeepCopy()
	secret.Data = nil
	a.put(secret)
}

func (a *apiServer) data(name string) map[string][]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.secrets[name] == nil {
		return nil
	}
	return a.secrets[name].DeepCopy().Data
}

func (a *apiServer) refusals() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.refused)
}

package pretend

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// table answers requests from the routes.
type table struct {
	mistakes Mistakes

	mu     sync.Mutex
	routes map[string]gatewayv1.HTTPRoute
	asked  map[string]int
	echoed map[string]int
}

func (t *table) set(routes []gatewayv1.HTTPRoute) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.routes = map[string]gatewayv1.HTTPRoute{}
	for _, r := range routes {
		for _, host := range r.Spec.Hostnames {
			t.routes[string(host)] = r
		}
	}
}

func (t *table) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked == nil {
		t.asked, t.echoed = map[string]int{}, map[string]int{}
	}
	n := t.asked[r.Host]
	t.asked[r.Host]++
	if t.mistakes.Answer != nil {
		if code := t.mistakes.Answer(r.Host, n); code != 0 {
			w.WriteHeader(code)
			return
		}
	}
	route, known := t.routes[r.Host]
	if !known {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	for _, rule := range route.Spec.Rules {
		if len(rule.Matches) == 0 || strings.HasPrefix(r.URL.Path, *rule.Matches[0].Path.Value) {
			t.answer(w, r, rule)
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

// answer is the echo server behind the rule.
func (t *table) answer(w http.ResponseWriter, r *http.Request, rule gatewayv1.HTTPRouteRule) {
	ref := rule.BackendRefs[0]
	if ref.Name != "backend" {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	n := t.echoed[r.Host]
	t.echoed[r.Host]++
	for _, f := range rule.Filters {
		if f.RequestHeaderModifier != nil {
			r.Header.Set(string(f.RequestHeaderModifier.Set[0].Name), f.RequestHeaderModifier.Set[0].Value)
		}
		if f.ResponseHeaderModifier != nil && (t.mistakes.DropHeader == nil || !t.mistakes.DropHeader(r.Host, n)) {
			w.Header().Set(string(f.ResponseHeaderModifier.Set[0].Name), f.ResponseHeaderModifier.Set[0].Value)
		}
	}
	service := map[gatewayv1.PortNumber]string{80: "port-a", 8080: "port-b"}[*ref.Port]
	_ = json.NewEncoder(w).Encode(map[string]any{"host": r.Host, "path": r.URL.Path, "headers": r.Header, "service": service})
}

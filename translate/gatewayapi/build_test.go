package gatewayapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// goldenInputs gives the manifests of every golden file.
func goldenInputs(t *testing.T) map[string]string {
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	inputs := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		inputs[file], _ = splitGolden(string(text))
	}
	return inputs
}

func mustLoad(t *testing.T, text string) *loaded {
	t.Helper()
	l, err := load(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// applyShuffled builds a Set by single changes in random order, some of them of objects that are removed again.
func applyShuffled[T metav1.Object](random *rand.Rand, list []T) source.Set[T] {
	var set source.Set[T]
	for _, i := range random.Perm(len(list)) {
		set = set.With(list[i])
		if random.IntN(3) == 0 {
			set = set.Without(source.KeyOf(list[i]))
			set = set.With(list[i])
		}
	}
	return set
}

func (l *loaded) shuffled(random *rand.Rand) *source.Objects {
	return &source.Objects{
		GatewayClasses:  applyShuffled(random, l.classes),
		Gateways:        applyShuffled(random, l.gateways),
		HTTPRoutes:      applyShuffled(random, l.routes),
		ReferenceGrants: applyShuffled(random, l.grants),
		InferencePools:  applyShuffled(random, l.pools),
		Services:        applyShuffled(random, l.services),
		EndpointSlices:  applyShuffled(random, l.slices),
		Pods:            applyShuffled(random, l.pods),
		Secrets:         applyShuffled(random, l.secrets),
		Namespaces:      applyShuffled(random, l.namespaces),
		ConfigMaps:      applyShuffled(random, l.configMaps),

		InferenceObjectives:         applyShuffled(random, l.objectives),
		OlderInferenceObjectives:    applyShuffled(random, l.olderObjectives),
		InferenceModelRewrites:      applyShuffled(random, l.rewrites),
		OlderInferenceModelRewrites: applyShuffled(random, l.olderRewrites),
	}
}

func TestOrderOfInputDoesNotMatter(t *testing.T) {
	for file, input := range goldenInputs(t) {
		options := optionsOf(input)
		want := Build(mustLoad(t, input).objects(), options)
		for seed := range uint64(8) {
			got := Build(mustLoad(t, input).shuffled(rand.New(rand.NewPCG(seed, 7))), options)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, seed %d:\n%s", file, seed, firstDifference(render(want), render(got)))
				break
			}
		}
	}
}

func TestInputIsNotChanged(t *testing.T) {
	for file, input := range goldenInputs(t) {
		l := mustLoad(t, input)
		objects := l.objects()
		Build(objects, optionsOf(input))
		Build(objects, optionsOf(input))
		if !reflect.DeepEqual(l, mustLoad(t, input)) {
			t.Errorf("%s: Build changed an object", file)
		}
	}
}

func TestEmptyInput(t *testing.T) {
	if got := Build(&source.Objects{}, Options{}); len(got.Gateways) != 0 {
		t.Errorf("gateways out of nothing: %v", got.Gateways)
	}
}

// TestEveryModelIsWhole checks what the model promises, on every golden input.
func TestEveryModelIsWhole(t *testing.T) {
	for file, input := range goldenInputs(t) {
		for _, g := range Build(mustLoad(t, input).objects(), optionsOf(input)).Gateways {
			used := map[string]bool{}
			for target := range targetsOf(g) {
				if target.Weight == 0 {
					t.Errorf("%s: a target of weight 0", file)
				}
				used[target.Backend] = target.Backend != ""
			}
			delete(used, "")
			if len(used) != len(g.Backends) {
				t.Errorf("%s: rules use %d backends, the Gateway has %d", file, len(used), len(g.Backends))
			}
			for id := range used {
				if g.Backends[id].ID != id {
					t.Errorf("%s: backend %q is missing", file, id)
				}
			}
			for rule := range rulesOf(g) {
				checkRule(t, file, rule)
			}
			checkChains(t, file, g)
		}
	}
}

func checkRule(t *testing.T, file string, r *model.Rule) {
	t.Helper()
	actions := 0
	for _, set := range []bool{r.Action.Forward != nil, r.Action.Redirect != nil, r.Action.Reply != nil} {
		if set {
			actions++
		}
	}
	if actions != 1 || r.Name == "" || r.Source.Name == "" {
		t.Errorf("%s: rule %q of %v has %d actions", file, r.Name, r.Source, actions)
	}
}

func checkChains(t *testing.T, file string, g *model.Gateway) {
	t.Helper()
	secrets := map[string]bool{}
	for _, p := range g.Ports {
		if len(p.Chains) == 0 || len(p.Sources) == 0 {
			t.Errorf("%s: port %d has %d chains and %d sources", file, p.Number, len(p.Chains), len(p.Sources))
		}
		for _, c := range p.Chains {
			for _, id := range c.Secrets {
				secrets[id] = true
			}
			if (p.Protocol == model.HTTPS) != (len(c.Secrets) > 0) {
				t.Errorf("%s: port %d chain %q has secrets %v", file, p.Number, c.SNI, c.Secrets)
			}
			names := map[string]bool{}
			for i, h := range c.Hosts {
				if names[h.Name] {
					t.Errorf("%s: port %d chain %q has host %s twice", file, p.Number, c.SNI, h.Name)
				}
				names[h.Name] = true
				if i > 0 && compareHostnames(parseHostname(c.Hosts[i-1].Name), parseHostname(h.Name)) >= 0 {
					t.Errorf("%s: host %s stands after %s", file, h.Name, c.Hosts[i-1].Name)
				}
				checkNames(t, file, h)
			}
		}
	}
	if len(secrets) != len(g.Secrets) {
		t.Errorf("%s: chains use secrets %v, the Gateway has %d", file, secrets, len(g.Secrets))
	}
}

// checkNames sees that no rule stands twice in one Host.
func checkNames(t *testing.T, file string, h model.Host) {
	t.Helper()
	names := map[string]bool{}
	for _, r := range h.Rules {
		if names[r.Name] {
			t.Errorf("%s: host %s has rule %s twice", file, h.Name, r.Name)
		}
		names[r.Name] = true
	}
}

// manyRoutes makes n routes over n/2 hostnames and n/10 Services on one Gateway.
func manyRoutes(n int) string {
	var b bytes.Buffer
	b.WriteString(`apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: switchyard}
spec: {controllerName: switchyard.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: infra}
spec:
  gatewayClassName: switchyard
  listeners:
  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - {name: sub, port: 80, protocol: HTTP, hostname: "*.example.com", allowedRoutes: {namespaces: {from: All}}}
`)
	for i := range n / 10 {
		fmt.Fprintf(&b, "---\n{apiVersion: v1, kind: Service, metadata: {name: s%d, namespace: app}, spec: {ports: [{port: 80, targetPort: 8080}]}}\n", i)
		fmt.Fprintf(&b, "---\n{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s%d, namespace: app, labels: {kubernetes.io/service-name: s%d}}, addressType: IPv4, ports: [{port: 8080}], endpoints: [{addresses: [\"10.0.%d.%d\"]}]}\n", i, i, i/250, i%250+1)
	}
	for i := range n {
		fmt.Fprintf(&b, "---\n{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r%d, namespace: app}, spec: {parentRefs: [{name: gw, namespace: infra}], hostnames: [h%d.example.com], rules: [{matches: [{path: {value: /p%d}}, {path: {value: /q}, method: GET}], backendRefs: [{name: s%d, port: 80}]}]}}\n", i, i/2, i%2, i/10)
	}
	return b.String()
}

func TestManyRoutes(t *testing.T) {
	const n = 400
	l := mustLoad(t, manyRoutes(n))
	g := Build(l.objects(), Options{}).Gateways[0]
	hosts := g.Ports[0].Chains[0].Hosts
	if len(hosts) != n/2+2 || len(g.Backends) != n/10 {
		t.Fatalf("%d hosts and %d backends", len(hosts), len(g.Backends))
	}
	for _, h := range hosts[:n/2] {
		if len(h.Rules) != 4 {
			t.Fatalf("host %s has %d rules, want 4", h.Name, len(h.Rules))
		}
	}
}

func benchmarkBuild(b *testing.B, n int) {
	l, err := load(manyRoutes(n))
	if err != nil {
		b.Fatal(err)
	}
	objects := l.objects()
	b.ReportAllocs()
	for b.Loop() {
		Build(objects, Options{})
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/build")
}

func BenchmarkBuild1000Routes(b *testing.B)  { benchmarkBuild(b, 1_000) }
func BenchmarkBuild10000Routes(b *testing.B) { benchmarkBuild(b, 10_000) }

// TestStatusesAreValidJSON sees that what is written to the API has no field that JSON would drop or refuse.
func TestStatusesAreValidJSON(t *testing.T) {
	for file, input := range goldenInputs(t) {
		s := Build(mustLoad(t, input).objects(), optionsOf(input)).Statuses
		for key, g := range s.Gateways {
			text, err := json.Marshal(g)
			if err != nil {
				t.Fatal(err)
			}
			for range g.Listeners {
				if !bytes.Contains(text, []byte(`"supportedKinds":[`)) {
					t.Errorf("%s: %s: a listener without supportedKinds: %s", file, key, text)
				}
			}
		}
	}
}

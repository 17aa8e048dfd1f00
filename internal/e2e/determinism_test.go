package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/internal/stack"
	"github.com/switchyard/switchyard/translate/resource"
)

// TestReplicasAgreeOnEveryByte gives the same objects to two control planes: to one at once, to the other
// document by document in a shuffled order, with objects that come and go in between. Their views must not
// differ in a byte.
func TestReplicasAgreeOnEveryByte(t *testing.T) {
	first := newManifests(t, busyManifests())
	startPlainStack(first)
	want := settledVersions(first, 1)

	for round := range 3 {
		t.Run(fmt.Sprintf("shuffle %d", round), func(t *testing.T) {
			second := newManifests(t, gateway)
			second.port, second.net = first.port, first.net
			if err := os.Remove(filepath.Join(second.dir, "main.yaml")); err != nil {
				t.Fatal(err)
			}
			startPlainStack(second)
			documents := strings.Split(busyManifests(), "\n---\n")
			for _, i := range rand.Perm(len(documents)) {
				name := fmt.Sprintf("doc-%03d.yaml", rand.IntN(900)) // the order of files is chance, too
				for fileExists(second.dir, name) {
					name = "x" + name
				}
				second.write(name, documents[i])
				if i%5 == 0 {
					second.write("passing.yaml", route(fmt.Sprintf("passing-%d", i), "\n  - backendRefs: [{name: api-1, port: 80}]\n"))
				}
			}
			if err := os.Remove(filepath.Join(second.dir, "passing.yaml")); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			eventually(t, 10*time.Second, "the second control plane has the same view", func() bool {
				return sameVersions(viewVersions(second), want)
			})
		})
	}
}

// busyManifests has many routes, Services and pools, with ties for the order to break.
func busyManifests() string {
	var b strings.Builder
	b.WriteString(strings.TrimPrefix(gateway, "\n"))
	for i := range 12 {
		b.WriteString(service(fmt.Sprintf("api-%d", i), i+1, i+2))
		b.WriteString(route(fmt.Sprintf("r-%d", i), fmt.Sprintf(`
  - matches: [{path: {value: /same}}, {path: {value: /p%d}}]
    backendRefs: [{name: api-%d, port: 80, weight: 3}, {name: api-%d, port: 80}, {group: inference.networking.k8s.io, kind: InferencePool, name: pool-%d}]
`, i, i, (i+1)%12, i%3)))
	}
	for i := range 3 {
		b.WriteString(pool(fmt.Sprintf("pool-%d", i), fmt.Sprintf("app-%d", i)))
		b.WriteString(simPods(fmt.Sprintf("app-%d", i), 100+10*i, 4))
	}
	return b.String()
}

func fileExists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// startPlainStack starts a control plane without a picker of its own, so that its address is in no view.
func startPlainStack(w *world) {
	w.startStack(stack.Options{Pickers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9002")}})
}

func viewVersions(w *world) map[resource.ID]string {
	result, _ := w.stack.Pipeline.Latest()
	if result == nil || result.Output.Views["default/gw"] == nil {
		return nil
	}
	out := map[resource.ID]string{}
	for id, r := range result.Output.Views["default/gw"].Resources {
		out[id] = r.Version
	}
	return out
}

// settledVersions waits for a view with at least so many route tables.
func settledVersions(w *world, tables int) map[resource.ID]string {
	w.t.Helper()
	var got map[resource.ID]string
	eventually(w.t, 10*time.Second, "there is a view", func() bool {
		got = viewVersions(w)
		n := 0
		for id := range got {
			if id.Type == resource.RouteType {
				n++
			}
		}
		return n >= tables && len(got) > 20
	})
	return got
}

func sameVersions(a, b map[resource.ID]string) bool {
	if len(a) != len(b) {
		return false
	}
	for id, v := range a {
		if b[id] != v {
			return false
		}
	}
	return true
}

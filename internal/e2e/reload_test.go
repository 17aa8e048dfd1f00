package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/internal/pipeline"
)

// reloadBound is how long an edit may take until every proxy answers by it.
const reloadBound = 2 * time.Second

// apply writes a manifest file and waits until every proxy has what it comes to. It must change something.
func (w *world) apply(name, text string) *pipeline.Result {
	w.t.Helper()
	before, _ := w.stack.Pipeline.Latest()
	w.write(name, text)
	var now *pipeline.Result
	eventually(w.t, 10*time.Second, "the edit is taken in", func() bool {
		now, _ = w.stack.Pipeline.Latest()
		return now != before
	})
	w.synced()
	return now
}

// answersAs waits until each proxy answers as it should, and gives the time that took. A new connection goes
// to any of the proxies, so that a run of right answers is asked for.
func (w *world) answersAs(t *testing.T, p probe, within time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	right, wrong, took := 0, "", time.Duration(0)
	for right < 8*len(w.fleet.Proxies()) {
		if wrong = p.check(w); wrong == "" {
			if right == 0 {
				took = time.Since(began)
			}
			right++
			continue
		}
		right = 0
		if time.Since(began) > within {
			t.Fatalf("after %s still: %s", within, wrong)
		}
	}
	return took
}

// problems are the texts of what is wrong with the manifests.
func (w *world) problems() string {
	result, _ := w.stack.Pipeline.Latest()
	var b strings.Builder
	for _, p := range result.Problems {
		fmt.Fprintln(&b, p.Error())
	}
	return b.String()
}

func TestEditsTakeEffect(t *testing.T) {
	base := gateway + echoServices(1, "a", "b", "c") + pool("c", "c")
	path := func(path, backend string) string {
		return "\n  - matches: [{path: {value: " + path + "}}]" + to(backend)
	}
	w := newWorld(t, base+route("r", path("/x", "a")), worldOptions{proxies: 2})
	pids := fmt.Sprint(w.fleet.Proxies()[0].PID(), w.fleet.Proxies()[1].PID())

	began := time.Now()
	expect := func(what string, p probe) {
		t.Helper()
		w.answersAs(t, p, reloadBound)
		t.Logf("%s: in force after %s at the latest", what, time.Since(began).Round(time.Millisecond))
	}
	edit := func(name, text string) {
		t.Helper()
		began = time.Now()
		w.write(name, text)
	}
	edit("main.yaml", base+route("r", path("/x", "b")))
	expect("another backend", probe{path: "/x", want: "b"})
	edit("main.yaml", base+route("r", path("/y", "b")))
	expect("another path", probe{path: "/y", want: "b"})
	expect("the old path", probe{path: "/x", status: 404})
	edit("more.yaml", route("more", path("/y/z", "c")))
	expect("a route in a new file", probe{path: "/y/z", want: "c"})
	edit("more.yaml", strings.Replace(route("more", path("/y/z", "c")), "{name: c, port: 80}",
		"{group: inference.networking.k8s.io, kind: InferencePool, name: c}", 1))
	w.synced()
	eventually(t, reloadBound, "the pool answers", func() bool {
		r := w.get("/y/z")
		return w.access.line(t, r.headers.Get("x-request-id")).Pool == "default/c"
	})
	began = time.Now()
	if err := os.Remove(filepath.Join(w.dir, "more.yaml")); err != nil {
		t.Fatal(err)
	}
	expect("a file removed", probe{path: "/y/z", want: "b"})
	edit("main.yaml", strings.Replace(base, "endpoints:\n- {addresses: [\"$NET.2\"]", "endpoints:\n- {addresses: [\"$NET.3\"]", 1)+route("r", path("/y", "b")))
	expect("another endpoint of the same Service", probe{path: "/y", want: "c"})
	if now := fmt.Sprint(w.fleet.Proxies()[0].PID(), w.fleet.Proxies()[1].PID()); now != pids {
		t.Errorf("proxies were %s and are now %s", pids, now)
	}
}

// A file that cannot be read changes nothing of what is served, is reported, and is taken in again when it
// has been mended; what stands in other files can be changed meanwhile.
func TestBadFileKeepsTheLastGood(t *testing.T) {
	rule := func(path, service string) string {
		return "\n  - matches: [{path: {value: " + path + "}}]" + to(service)
	}
	w := newWorld(t, gateway+echoServices(1, "a", "b"), worldOptions{})
	w.apply("first.yaml", route("first", rule("/x", "a")))
	w.apply("second.yaml", route("second", rule("/y", "a")))

	breakings := []struct{ name, text, want string }{
		{"no YAML", "kind: [", "(document 1)"},
		{"cut off in the middle", route("first", rule("/x", "b"))[:170], "first.yaml:9"},
		{"unknown field", strings.Replace(route("first", rule("/x", "b")), "backendRefs", "backendRfs", 1), "backendRfs"},
		{"rule of the schema", route("first", rule("x", "b")), "HTTPRoute/default/first"},
	}
	for i, c := range breakings {
		t.Run(c.name, func(t *testing.T) {
			before := w.problems()
			w.write("first.yaml", c.text)
			eventually(t, reloadBound, "the problem is reported", func() bool {
				return w.problems() != before && strings.Contains(w.problems(), c.want)
			})
			if !strings.Contains(w.problems(), "first.yaml") {
				t.Errorf("the file is not named: %s", w.problems())
			}
			t.Log(strings.TrimSpace(w.problems()))
			w.answersAs(t, probe{path: "/x", want: "a"}, 0)
			// The neighbour goes on being served, and can be changed.
			service := []string{"b", "a"}[i%2]
			w.write("second.yaml", route("second", rule("/y", service)))
			w.answersAs(t, probe{path: "/y", want: service}, reloadBound)
			w.answersAs(t, probe{path: "/x", want: "a"}, 0)
		})
	}
	w.write("first.yaml", route("first", rule("/x", "b")))
	w.answersAs(t, probe{path: "/x", want: "b"}, reloadBound)
	if p := w.problems(); p != "" {
		t.Errorf("after mending there is still: %s", p)
	}
}

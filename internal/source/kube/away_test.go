package kube

import (
	"log/slog"
	"strings"
	"sync"
	"testing"

	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/switchyard/switchyard/internal/source"
)

func TestAnAPIServerThatGoesAwayAndComesBack(t *testing.T) {
	for _, history := range []string{"kept", "forgotten"} {
		t.Run("history "+history, func(t *testing.T) {
			server := newAPIServer(t)
			server.put(podManifest("ns", "same", "10.0.0.1"))
			server.put(podManifest("ns", "changed", "10.0.0.2"))
			server.put(podManifest("ns", "gone", "10.0.0.3"))
			f := follow(t, server, Options{})
			first := f.store.Latest()
			before := f.puts()

			server.close()
			eventually(t, "the log of it", func() bool { return strings.Contains(f.log.String(), "cannot be watched") })
			if f.store.Latest().Objects != first.Objects || f.puts() != before {
				t.Error("the view changed while the API server was away")
			}
			server.put(podManifest("ns", "changed", "10.9.9.9"))
			server.put(podManifest("ns", "new", "10.0.0.4"))
			server.remove(podManifest("ns", "gone", ""))
			if history == "forgotten" {
				server.forget()
			}
			server.open()

			u := f.until("what changed meanwhile", func(u source.Update) bool {
				changed, _ := u.Objects.Pods.Get("ns", "changed")
				_, gone := u.Objects.Pods.Get("ns", "gone")
				_, added := u.Objects.Pods.Get("ns", "new")
				return changed.Status.PodIP == "10.9.9.9" && !gone && added
			})
			was, _ := first.Objects.Pods.Get("ns", "same")
			is, _ := u.Objects.Pods.Get("ns", "same")
			if was != is {
				t.Error("a pod that did not change is another one now, and kept twice")
			}
			server.put(podManifest("ns", "later", "10.0.0.5"))
			f.has("Pod", "ns", "later", true)
			eventually(t, "the log of it", func() bool { return strings.Contains(f.log.String(), "watched again") })
			if n := strings.Count(f.log.String(), "cannot be watched"); n != 1 {
				t.Errorf("it was logged %d times, want once", n)
			}
		})
	}
}

func TestAStartWithoutAnAPIServer(t *testing.T) {
	server := newAPIServer(t)
	server.put(podManifest("ns", "pod", "10.0.0.1"))
	server.close()
	f := begin(t, server, Options{})
	eventually(t, "the log of what is missing", func() bool { return strings.Contains(f.log.String(), "still waiting") })
	if f.store.Latest().Objects != nil {
		t.Fatal("there is a view of nothing")
	}
	server.open()
	f.has("Pod", "ns", "pod", true)
}

// After an outage everything is listed again. Objects in the same version are not kept a second time.
func TestWhatIsListedAgainIsKeptOnce(t *testing.T) {
	server := newAPIServer(t)
	server.put(podManifest("ns", "same", "10.0.0.1"))
	server.put(podManifest("ns", "changed", "10.0.0.2"))
	s, err := New(Options{Config: server.config(), Kinds: []string{"Pod"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	w, err := s.startWatch(t.Context(), s.kinds[0], "v1", scope{namespace: "ns"}, func() {}, func() {}, &running)
	if err != nil {
		t.Fatal(err)
	}
	defer utilnet.CloseIdleConnectionsFor(s.client.Transport)
	defer running.Wait()
	defer w.stop()
	eventually(t, "the first list", func() bool { _, synced := w.take(); return synced })
	stored := func(name string) any {
		o, _, err := w.informer.GetStore().GetByKey("ns/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	same, changed := stored("same"), stored("changed")
	server.close()
	server.put(podManifest("ns", "changed", "10.9.9.9"))
	server.forget()
	server.open()
	eventually(t, "the second list", func() bool { return stored("changed") != changed })
	if stored("same") != same {
		t.Error("a pod that did not change is stored as another object than the one in the view")
	}
}

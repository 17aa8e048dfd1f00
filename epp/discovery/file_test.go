package discovery

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/switchyard/switchyard/epp/datalayer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParameters(t *testing.T) {
	f, err := NewFile([]byte(`{"path":"/etc/endpoints.yaml","watchFile":true}`))
	if err != nil || *f != (File{Path: "/etc/endpoints.yaml", Watch: true}) {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := NewFile([]byte(`{"path":"x"}`)); err != nil || f.Watch {
		t.Errorf("%+v, %v", f, err)
	}
	for _, text := range []string{"", "{}", `{"path":""}`, `{"path":"x","watch":true}`, `{"path":7}`} {
		if _, err := NewFile([]byte(text)); err == nil {
			t.Errorf("%s was accepted", text)
		}
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "endpoints.yaml")
	f := &File{Path: path}
	if _, _, err := f.Read(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is not there: %v", err)
	}
	put(t, path, "endpoints: [{name: a}]")
	if _, _, err := f.Read(); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "endpoints[0]") {
		t.Errorf("a file that is wrong: %v", err)
	}
	put(t, path, one)
	specs, text, err := f.Read()
	if err != nil || len(specs) != 1 || string(text) != one {
		t.Errorf("%v, %q, %v", specs, text, err)
	}
}

const (
	one = "endpoints: [{name: one, address: 10.0.0.1, port: 1}]"
	two = "endpoints: [{name: two, address: 10.0.0.2, port: 2}]"
)

// put replaces a file by a rename.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".next", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		t.Fatal(err)
	}
}

// follower follows a file until the test ends.
type follower struct {
	t        *testing.T
	registry *prometheus.Registry
	mu       sync.Mutex
	names    []string
	log      bytes.Buffer
}

func (f *follower) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(p)
}

func follow(t *testing.T, path, known string) *follower {
	t.Helper()
	f := &follower{t: t, registry: prometheus.NewRegistry()}
	counts, err := NewMetrics(f.registry)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		(&File{Path: path, Watch: true}).Follow(ctx, []byte(known), f.apply, counts, slog.New(slog.NewTextHandler(f, nil)))
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return f
}

func (f *follower) apply(specs []datalayer.Spec) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names = nil
	for _, s := range specs {
		f.names = append(f.names, s.Name)
	}
}

// expect waits for the endpoints and the series.
func (f *follower) expect(names string, succeeded, failed, latest int) {
	f.t.Helper()
	want := fmt.Sprintf("failure %d success %d latest %d", failed, succeeded, latest)
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		f.mu.Lock()
		got, log := fmt.Sprint(f.names), f.log.String()
		f.mu.Unlock()
		series := f.series()
		if got == names && series == want {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("endpoints %s, want %s; series %s, want %s; log:\n%s", got, names, series, want, log)
		}
		<-tick.C
	}
}

func (f *follower) series() string {
	families, err := f.registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += "/" + label.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return fmt.Sprintf("failure %v success %v latest %v", values["llm_d_epp_discovery_reloads_total/failure"],
		values["llm_d_epp_discovery_reloads_total/success"], values["llm_d_epp_discovery_last_reload_successful"])
}

func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "endpoints.yaml")
	put(t, path, one)
	f := follow(t, path, one)
	put(t, path, two)
	f.expect("[two]", 1, 0, 1)
	put(t, path, "endpoints: [{name: three, address: 10.0.0.3, port: 3}, {name: bad, address: 10.0.0.4, port: 0}]")
	f.expect("[two]", 1, 1, 0)
	put(t, path, "")
	f.expect("[two]", 1, 2, 0)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f.expect("[two]", 1, 3, 0)
	put(t, path, one)
	f.expect("[one]", 2, 3, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if log := f.log.String(); strings.Count(log, "level=ERROR") != 3 || !strings.Contains(log, "endpoints[1]") || !strings.Contains(log, path) {
		t.Errorf("log:\n%s", log)
	}
}

// TestAMountedConfigMap replaces the file as the kubelet does: ..data, a symlink to a folder, is another one then.
func TestAMountedConfigMap(t *testing.T) {
	dir := t.TempDir()
	version := func(name, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name, "endpoints.yaml"), text)
		if err := os.Symlink(name, filepath.Join(dir, "..next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..next"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..1", one)
	path := filepath.Join(dir, "endpoints.yaml")
	if err := os.Symlink(filepath.Join("..data", "endpoints.yaml"), path); err != nil {
		t.Fatal(err)
	}
	f := follow(t, path, one)
	version("..2", two)
	f.expect("[two]", 1, 0, 1)
	version("..3", one)
	f.expect("[one]", 2, 0, 1)
}

func TestAFileThatIsNotWatched(t *testing.T) {
	f := &File{Path: filepath.Join(t.TempDir(), "none", "endpoints.yaml")}
	f.Follow(t.Context(), nil, func([]datalayer.Spec) { t.Error("told") }, nil, nil) // returns, and needs nothing
}

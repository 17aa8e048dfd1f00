package file

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"

	"github.com/switchyard/switchyard/internal/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// follower is a running Source and the reader of its store.
type follower struct {
	t     *testing.T
	dir   string
	store *source.Store
}

// follow runs a Source on a path until the test ends, and waits for its first view.
func follow(t *testing.T, dir, path string) *follower {
	t.Helper()
	f := &follower{t: t, dir: dir, store: source.NewStore()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- New(path, slog.New(slog.DiscardHandler)).Run(ctx, f.store) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
	f.until("the first view", func(u source.Update) bool { return u.Objects != nil })
	return f
}

// until waits for a view that fits.
func (f *follower) until(what string, fits func(source.Update) bool) source.Update {
	f.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		if u := f.store.Latest(); fits(u) {
			return u
		}
		select {
		case <-f.store.Changed():
		case <-deadline:
			f.t.Fatalf("did not come: %s; there is %v, problems %v", what, values(f.store.Latest()), f.store.Latest().Problems)
		}
	}
}

func values(u source.Update) []string {
	var out []string
	if u.Objects == nil {
		return nil
	}
	for m := range u.Objects.ConfigMaps.All() {
		out = append(out, m.Name+"="+m.Data["v"])
	}
	return out
}

// expect waits until there are exactly these config maps and this many problems.
func (f *follower) expect(problems int, want ...string) {
	f.t.Helper()
	f.until(fmt.Sprintf("%v and %d problems", want, problems), func(u source.Update) bool {
		return slices.Equal(values(u), want) && len(u.Problems) == problems
	})
}

func (f *follower) path(name string) string { return filepath.Join(f.dir, name) }

func (f *follower) write(name, text string) {
	f.t.Helper()
	writeFile(f.t, f.path(name), text)
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (f *follower) do(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func TestEditsArrive(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.yaml"), good("a", "v1"))
	f := follow(t, dir, dir)
	f.expect(0, "a=v1")
	f.write("a.yaml", good("a", "v2"))
	f.expect(0, "a=v2")
	f.write("b.yml", good("b", "v1"))
	f.expect(0, "a=v2", "b=v1")
	f.write("c.json", `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"v": "v1"}}`)
	f.expect(0, "a=v2", "b=v1", "c=v1")
	f.do(os.Remove(f.path("b.yml")))
	f.expect(0, "a=v2", "c=v1")
	f.write("a.yaml", unreadable)
	f.expect(1, "a=v2", "c=v1")
	f.write("a.yaml", good("a", "v3"))
	f.expect(0, "a=v3", "c=v1")
	f.do(os.Rename(f.path("a.yaml"), f.path("z.yaml")))
	f.write("marker.yaml", good("m", "v1"))
	u := f.until("the rename", func(u source.Update) bool { return slices.Equal(values(u), []string{"a=v3", "c=v1", "m=v1"}) })
	if a, _ := u.Objects.ConfigMaps.Get("default", "a"); a.Generation != 3 {
		t.Errorf("a renamed file gave generation %d, want the 3 of before", a.Generation)
	}
}

func TestAtomicRenameIntoPlace(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.yaml"), good("a", "v0"))
	f := follow(t, dir, dir)
	for i := range 20 {
		value := fmt.Sprint("v", i+1)
		f.write(".a.yaml.tmp", good("a", value))
		f.do(os.Rename(f.path(".a.yaml.tmp"), f.path("a.yaml")))
		f.expect(0, "a="+value)
	}
}

func TestSubdirectoriesComeAndGo(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	f := follow(t, dir, dir)
	f.do(os.MkdirAll(f.path("x/y"), 0o755))
	f.write("x/y/a.yaml", good("a", "v1"))
	f.expect(0, "a=v1")
	f.write("x/y/a.yaml", good("a", "v2"))
	f.expect(0, "a=v2")

	f.do(os.Mkdir(filepath.Join(outside, "z"), 0o755))
	writeFile(t, filepath.Join(outside, "z", "b.yaml"), good("b", "v1"))
	f.do(os.Rename(filepath.Join(outside, "z"), f.path("z")))
	f.expect(0, "a=v2", "b=v1")
	f.do(os.Rename(f.path("x"), filepath.Join(outside, "x")))
	f.expect(0, "b=v1")
	f.do(os.RemoveAll(f.path("z")))
	f.expect(0)
	f.do(os.MkdirAll(f.path("z"), 0o755))
	f.write("z/b.yaml", good("b", "v3"))
	f.expect(0, "b=v3")
}

func TestHiddenAndForeignFilesAreIgnored(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".a.yaml", "a.yaml~", "a.yaml.swp", ".a.yaml.swp", "#a.yaml#", "a.txt", "README.md", "4913"} {
		writeFile(t, filepath.Join(dir, name), good("bad", "v1"))
	}
	if err := os.MkdirAll(filepath.Join(dir, ".git", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, ".git", "sub", "a.yaml"), good("bad", "v1"))
	f := follow(t, dir, dir)
	f.expect(0)
	f.write(".b.yaml", good("bad", "v2"))
	f.write("b.yaml.swp", good("bad", "v2"))
	f.write(".git/sub/b.yaml", good("bad", "v2"))
	f.write("b.yaml", good("b", "v1"))
	f.expect(0, "b=v1")
}

// What editors do around a save may wake nobody.
func TestEventsThatDoNotMatter(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := New(dir, slog.New(slog.DiscardHandler))
	s.watched[filepath.Join(dir, "sub")] = true
	at := func(name string, op fsnotify.Op) fsnotify.Event {
		return fsnotify.Event{Name: filepath.Join(dir, name), Op: op}
	}
	for _, c := range []struct {
		event   fsnotify.Event
		matters bool
	}{
		{at("a.yaml", fsnotify.Write), true},
		{at("a.yaml", fsnotify.Remove), true},
		{at("sub", fsnotify.Create), true},
		{at("sub", fsnotify.Remove), true},
		{at("..data", fsnotify.Create), true},
		{at("", fsnotify.Remove), true},
		{at(".a.yaml.swp", fsnotify.Write), false},
		{at(".a.yaml", fsnotify.Write), false},
		{at("a.yaml~", fsnotify.Create), false},
		{at("4913", fsnotify.Create), false},
		{at("../sibling.yaml", fsnotify.Write), false},
	} {
		var burst pending
		if got := s.note(c.event, &burst); got != c.matters || burst.empty() == c.matters {
			t.Errorf("%v: matters %v, want %v", c.event, got, c.matters)
		}
	}
}

// A ConfigMap mount: the files are links through ..data, which is swapped.
func TestMountedConfigMap(t *testing.T) {
	dir := t.TempDir()
	version := func(name, value string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, name, "a.yaml"), good("a", value))
		if err := os.Symlink(name, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..1", "v1")
	if err := os.Symlink("..data/a.yaml", filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	whole := follow(t, dir, dir)
	single := follow(t, dir, filepath.Join(dir, "a.yaml"))
	whole.expect(0, "a=v1")
	single.expect(0, "a=v1")
	version("..2", "v2")
	whole.expect(0, "a=v2")
	single.expect(0, "a=v2")
}

func TestSingleFile(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.conf"), good("a", "v1"))
	f := follow(t, dir, filepath.Join(dir, "a.conf"))
	f.expect(0, "a=v1")
	f.write("b.yaml", good("b", "v1"))
	f.write("a.conf", good("a", "v2"))
	f.expect(0, "a=v2")
	f.do(os.Remove(f.path("a.conf")))
	f.expect(1, "a=v2")
	f.write("a.conf", good("a", "v3"))
	f.expect(0, "a=v3")
}

// A directory that is replaced as a whole takes nothing with it.
func TestRootIsReplaced(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "manifests")
	for i, name := range []string{"manifests", "next"} {
		if err := os.Mkdir(filepath.Join(parent, name), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(parent, name, "a.yaml"), good("a", fmt.Sprint("v", i+1)))
	}
	f := follow(t, dir, dir)
	f.expect(0, "a=v1")
	f.do(os.Rename(dir, filepath.Join(parent, "old")))
	f.expect(1, "a=v1")
	f.do(os.Rename(filepath.Join(parent, "next"), dir))
	f.expect(0, "a=v2")
	f.write("a.yaml", good("a", "v3"))
	f.expect(0, "a=v3")
	f.do(os.RemoveAll(dir))
	f.expect(1, "a=v3")
	f.do(os.Mkdir(dir, 0o755))
	f.write("b.yaml", good("b", "v1"))
	f.expect(0, "b=v1")
}

func TestATruncatedFileKeepsItsObjects(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.yaml"), good("a", "v1"))
	writeFile(t, filepath.Join(dir, "empty.yaml"), "")
	f := follow(t, dir, dir)
	f.expect(0, "a=v1")
	f.do(os.Truncate(f.path("a.yaml"), 0))
	f.expect(1, "a=v1")
	f.write("b.yaml", good("b", "v1"))
	f.expect(1, "a=v1", "b=v1")
	f.write("a.yaml", good("a", "v2"))
	f.expect(0, "a=v2", "b=v1")
}

func TestOversizedAndSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.yaml"), good("a", "v1"))
	writeFile(t, filepath.Join(dir, "big.yaml"), good("b", "v1"))
	if err := os.Truncate(filepath.Join(dir, "big.yaml"), MaxFileBytes+1); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(".", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	u, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := values(u); !slices.Equal(got, []string{"a=v1"}) {
		t.Errorf("objects are %v", got)
	}
	if len(u.Problems) != 1 || !strings.Contains(u.Problems[0].Message, "16 MiB") {
		t.Errorf("problems are %v", u.Problems)
	}
}

func TestLoadOfAPathThatIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nothing")
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Load gave %v, want an error that names the path", err)
	}
	if err := New(path, slog.New(slog.DiscardHandler)).Run(t.Context(), source.NewStore()); err == nil {
		t.Error("Run on a path that is not there gave no error")
	}
}

func TestNothingIsPutWhenNothingChanged(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.yaml"), good("a", "v1"))
	f := follow(t, dir, dir)
	before := f.until("the first view", func(source.Update) bool { return true })
	f.write("a.yaml", good("a", "v1"))
	f.write("a.yaml", "# comment\n"+good("a", `"v1"`))
	f.write("b.yaml", good("b", "v1"))
	after := f.until("b", func(u source.Update) bool { return u.Objects != before.Objects })
	if got := values(after); !slices.Equal(got, []string{"a=v1", "b=v1"}) {
		t.Errorf("the first view after the edits holds %v: a was put without a change", got)
	}
}

func TestBurstsEnd(t *testing.T) {
	var burst pending
	start := time.Unix(1000, 0)
	if got := untilDue(&burst, start); got != quietTime {
		t.Errorf("after the first event: %v, want %v", got, quietTime)
	}
	if got := untilDue(&burst, start.Add(100*time.Millisecond)); got != quietTime {
		t.Errorf("after 100 ms: %v, want %v", got, quietTime)
	}
	if got := untilDue(&burst, start.Add(190*time.Millisecond)); got != 10*time.Millisecond {
		t.Errorf("after 190 ms: %v, want the 10 ms that are left", got)
	}
	if got := untilDue(&burst, start.Add(time.Second)); got != 0 {
		t.Errorf("after a second: %v, want 0", got)
	}
}

// A few hundred edits of many files at once, then the view of the last of each.
func TestManyEditsSettle(t *testing.T) {
	dir := t.TempDir()
	f := follow(t, dir, dir)
	var want []string
	for i := range 50 {
		for v := range 5 {
			f.write(fmt.Sprintf("f%02d.yaml", i), good(fmt.Sprintf("o%02d", i), fmt.Sprint("v", v)))
		}
		want = append(want, fmt.Sprintf("o%02d=v4", i))
	}
	f.expect(0, want...)
}

func TestProblemsAreLoggedWithABound(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.yaml"), strings.Repeat(unreadable, maxLogged+5))
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := New(dir, slog.New(slog.NewTextHandler(&log, nil))).Run(ctx, source.NewStore()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(log.String(), "manifest problem"); got != maxLogged {
		t.Errorf("%d problems logged, want %d", got, maxLogged)
	}
	if !strings.Contains(log.String(), "count=5") {
		t.Error("the rest was not counted")
	}
}

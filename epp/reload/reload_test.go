package reload_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard/switchyard/epp/reload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 5 * time.Second

type told struct {
	text string
	err  error
}

// follow follows a file and returns what it tells.
func follow(t *testing.T, path, known string) <-chan told {
	t.Helper()
	file, err := reload.Follow(path, []byte(known))
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan told, 16)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		file.Run(ctx, func(text []byte, err error) { out <- told{string(text), err} })
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return out
}

func expect(t *testing.T, out <-chan told, want string) {
	t.Helper()
	select {
	case got := <-out:
		if got.err != nil || got.text != want {
			t.Fatalf("told %q, %v; want %q", got.text, got.err, want)
		}
	case <-time.After(patience):
		t.Fatalf("was not told %q", want)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.yaml")
	write(t, path, "one")
	out := follow(t, path, "one")
	write(t, filepath.Join(dir, "other"), "not asked for")
	write(t, filepath.Join(dir, ".next"), "two")
	if err := os.Rename(filepath.Join(dir, ".next"), path); err != nil {
		t.Fatal(err)
	}
	expect(t, out, "two") // and nothing of "one" or the other file before it
	write(t, path, "three")
	expect(t, out, "three")
}

// TestAMountedConfigMap changes a file as the kubelet does: ..data, a symlink to a folder, is replaced.
func TestAMountedConfigMap(t *testing.T) {
	dir := t.TempDir()
	put := func(version, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "config.yaml"), text)
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	put("..1", "one")
	path := filepath.Join(dir, "config.yaml")
	if err := os.Symlink(filepath.Join("..data", "config.yaml"), path); err != nil {
		t.Fatal(err)
	}
	out := follow(t, path, "one")
	put("..2", "two")
	expect(t, out, "two")
	put("..3", "three")
	expect(t, out, "three")
}

func TestAFileThatGoesAndComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	write(t, path, "one")
	out := follow(t, path, "one")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-out:
		if got.err == nil || !strings.Contains(got.err.Error(), "config.yaml") {
			t.Fatalf("told %q, %v", got.text, got.err)
		}
	case <-time.After(patience):
		t.Fatal("was not told that the file is gone")
	}
	write(t, path, "one")
	expect(t, out, "one")
}

func TestWhatChangedBeforeTheWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	write(t, path, "two")
	expect(t, follow(t, path, "one"), "two")
}

func TestALargeFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	write(t, path, strings.Repeat("x", reload.MaxBytes+1))
	if _, err := reload.Read(path); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("error %v", err)
	}
}

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// quickstart copies the quickstart to a port and a network of the test's own.
func quickstart(t *testing.T) *world {
	t.Helper()
	w := newManifests(t, "# everything else is in the files below\n")
	files, err := filepath.Glob("../../examples/quickstart/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no quickstart: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		w.write(filepath.Base(f), strings.NewReplacer("port: 8080", "port: $PORT", "127.0.1.", "$NET.").Replace(string(text)))
	}
	return w
}

// runCommand is `controlplane run` as a person would start it, with a folder for temporary files of its own.
type runCommand struct {
	*exec.Cmd
	tmp string
	out *syncBuffer
}

func newRunCommand(t *testing.T, args ...string) *runCommand {
	t.Helper()
	// Unix sockets live in it: the path must be short.
	tmp, err := os.MkdirTemp("", "run-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	r := &runCommand{Cmd: exec.Command(binaryPath, append([]string{"run", "--envoy", envoyPath}, args...)...), tmp: tmp, out: &syncBuffer{}}
	r.Stdout, r.Stderr = r.out, r.out
	r.Env = append(os.Environ(), "TMPDIR="+tmp)
	return r
}

// leftBehind lists the processes that were started with something in the command's temporary folder.
func (r *runCommand) leftBehind(t *testing.T) []string {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, path := range lines {
		text, err := os.ReadFile(path)
		if err == nil && bytes.Contains(text, []byte(r.tmp)) {
			out = append(out, path)
		}
	}
	return out
}

// expectNothingLeft checks that no process and no file outlives the command.
func (r *runCommand) expectNothingLeft(t *testing.T, files bool) {
	t.Helper()
	eventually(t, 5*time.Second, "no process is left", func() bool { return len(r.leftBehind(t)) == 0 })
	if rest, err := os.ReadDir(r.tmp); files && (err != nil || len(rest) > 0) {
		t.Errorf("left in the temporary folder: %v %v", rest, err)
	}
}

func TestRunOnceShowsThatEverythingWorks(t *testing.T) {
	w := quickstart(t)
	r := newRunCommand(t, "-f", w.dir, "--once")
	if err := r.Run(); err != nil {
		t.Fatalf("run --once: %v\n%s", err, r.out)
	}
	rows := regexp.MustCompile(`(?m)^\d+ +\d+ +proxy-[12] +qwen-[1-4] +200 `).FindAllString(r.out.String(), -1)
	if len(rows) != 16 {
		t.Errorf("%d good rows in the table, want 16:\n%s", len(rows), r.out)
	}
	r.expectNothingLeft(t, true)
}

// TestRunOnceSaysWhatIsWrong takes the model servers away: the burst cannot be right.
func TestRunOnceSaysWhatIsWrong(t *testing.T) {
	w := quickstart(t)
	if err := os.Remove(filepath.Join(w.dir, "model-servers.yaml")); err != nil {
		t.Fatal(err)
	}
	r := newRunCommand(t, "-f", w.dir, "--once", "--model", "Qwen/Qwen3-8B")
	err := r.Run()
	if err == nil || !strings.Contains(r.out.String(), "error:") {
		t.Errorf("run --once without model servers: %v\n%s", err, r.out)
	}
	r.expectNothingLeft(t, true)
}

func TestRunLeavesNothingBehind(t *testing.T) {
	for name, end := range map[string]syscall.Signal{"Ctrl-C": syscall.SIGINT, "crash": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			w := quickstart(t)
			r := newRunCommand(t, "-f", w.dir)
			if err := r.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- r.Wait() }()
			t.Cleanup(func() { _ = r.Process.Kill() })
			eventually(t, 30*time.Second, "everything is up", func() bool {
				return strings.Contains(r.out.String(), "Ctrl-C ends it")
			})
			if n := len(r.leftBehind(t)); n != 2 {
				t.Errorf("%d Envoys run, want 2", n)
			}
			if err := r.Process.Signal(end); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if end == syscall.SIGINT && err != nil {
					t.Errorf("ended with %v\n%s", err, r.out)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("still running 20 s after %s\n%s", name, r.out)
			}
			r.expectNothingLeft(t, end == syscall.SIGINT)
		})
	}
}

// TestRunWithEndpoints gives model servers by address: the manifests are written and run.
func TestRunWithEndpoints(t *testing.T) {
	w := newManifests(t, gateway+simPods("sim", 1, 2))
	w.startSimulators()
	dir := filepath.Join(t.TempDir(), "written")
	r := newRunCommand(t, "--once", "--write-to", dir, "--port", strconv.Itoa(freePort(t)),
		"--endpoint", w.fill("$NET.1:8000"), "--endpoint", w.fill("$NET.2:8000"))
	if err := r.Run(); err != nil {
		t.Fatalf("run --endpoint: %v\n%s", err, r.out)
	}
	if !strings.Contains(r.out.String(), "wrote "+dir) {
		t.Errorf("it does not say where the manifests are:\n%s", r.out)
	}
	if objects := loadManifests(t, dir); objects.Pods.Len() != 2 {
		t.Errorf("%d pods were written, want 2", objects.Pods.Len())
	}
	for name, s := range w.sims {
		if s.Stats().Requests == 0 {
			t.Errorf("%s got no request", name)
		}
	}
	r.expectNothingLeft(t, true)
}

func TestRunWithoutEnvoySaysWhatToDo(t *testing.T) {
	w := quickstart(t)
	cmd := exec.Command(binaryPath, "run", "-f", w.dir, "--once")
	cmd.Dir, cmd.Env = t.TempDir(), []string{"PATH=/nonexistent"}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "make tools") {
		t.Errorf("run without Envoy: %v\n%s", err, out)
	}
}

func TestVersionNamesTheCommit(t *testing.T) {
	out, err := exec.Command(binaryPath, "--version").Output()
	if err != nil || !regexp.MustCompile(`^controlplane version \S+ \(commit \S+, needs Envoy 1\.40\.0`).Match(out) {
		t.Errorf("--version: %v %q", err, out)
	}
}

// syncBuffer may be read while a process writes to it.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprint(b.buf.String())
}

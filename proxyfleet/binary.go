package proxyfleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// MinEnvoy is the oldest Envoy that has everything views are made of: override_host with a served key,
// request_body_buffer_limit and ai_protocol_manager.
var MinEnvoy = Version{1, 40, 0}

// Version is an Envoy release.
type Version struct{ Major, Minor, Patch int }

// String gives 1.40.0.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Before tells whether v is older than o.
func (v Version) Before(o Version) bool {
	if v.Major != o.Major {
		return v.Major < o.Major
	}
	if v.Minor != o.Minor {
		return v.Minor < o.Minor
	}
	return v.Patch < o.Patch
}

// ToolsDir is where `make tools` puts Envoy, relative to the project.
const ToolsDir = ".tools"

// ErrNoEnvoy is what FindEnvoy wraps when there is no Envoy anywhere.
var ErrNoEnvoy = errors.New("no Envoy found")

// FindEnvoy gives the path of an Envoy that is new enough: the one named, else the first of PATH and the
// tools folder of the working directory or one above it. Its version is asked of the binary itself.
func FindEnvoy(ctx context.Context, named string) (string, error) {
	if named != "" {
		return named, checkEnvoy(ctx, named)
	}
	var tooOld error
	for _, path := range envoyCandidates() {
		err := checkEnvoy(ctx, path)
		if err == nil {
			return path, nil
		}
		tooOld = errors.Join(tooOld, err)
	}
	if tooOld != nil {
		return "", tooOld
	}
	return "", fmt.Errorf("%w in PATH or %s; run `make tools`, or name one with --envoy", ErrNoEnvoy, ToolsDir)
}

func envoyCandidates() []string {
	var out []string
	if path, err := exec.LookPath("envoy"); err == nil {
		out = append(out, path)
	}
	dir, err := os.Getwd()
	for err == nil {
		path := filepath.Join(dir, ToolsDir, "envoy")
		if info, statErr := os.Stat(path); statErr == nil && info.Mode().IsRegular() {
			return append(out, path)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	return out
}

var versionPattern = regexp.MustCompile(`version: [0-9a-f]*/(\d+)\.(\d+)\.(\d+)`)

func checkEnvoy(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return fmt.Errorf("asking %s for its version: %w; name an Envoy %s or newer with --envoy", path, err, MinEnvoy)
	}
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return fmt.Errorf("%s is not an Envoy: `--version` printed %q", path, firstLine(out))
	}
	var v Version
	for i, part := range []*int{&v.Major, &v.Minor, &v.Patch} {
		*part, _ = strconv.Atoi(string(m[i+1])) // the pattern admits digits only
	}
	if v.Before(MinEnvoy) {
		return fmt.Errorf("%s is Envoy %s, older than %s; run `make tools`, or name a newer one with --envoy", path, v, MinEnvoy)
	}
	return nil
}

func firstLine(b []byte) string {
	for i, c := range b {
		if c == '\n' {
			return string(b[:i])
		}
	}
	return string(b)
}

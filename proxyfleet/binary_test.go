package proxyfleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeEnvoy puts a program into a folder that says it is an Envoy of a version.
func fakeEnvoy(t *testing.T, dir, version string) string {
	t.Helper()
	return program(t, dir, fmt.Sprintf("echo 'envoy  version: 0123456789abcdef/%s/Clean/RELEASE/BoringSSL'", version))
}

func program(t *testing.T, dir, script string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "envoy")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// elsewhere makes the test's working directory and PATH empty.
func elsewhere(t *testing.T) (work, path string) {
	t.Helper()
	work, path = t.TempDir(), t.TempDir()
	t.Chdir(work)
	t.Setenv("PATH", path)
	return work, path
}

func TestEnvoyIsFound(t *testing.T) {
	cases := map[string]struct {
		inPath, inTools, named string // versions, empty for none
		want                   string // where it is found
	}{
		"in PATH":                              {inPath: "1.40.0", inTools: "1.40.0", want: "path"},
		"in PATH, newer":                       {inPath: "2.0.0", want: "path"},
		"in the tools folder":                  {inTools: "1.40.1", want: "tools"},
		"in the tools folder, PATH is too old": {inPath: "1.39.9", inTools: "1.40.0", want: "tools"},
		"named":                                {inPath: "1.41.0", named: "1.40.0", want: "named"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			work, path := elsewhere(t)
			places := map[string]string{"path": path, "tools": filepath.Join(work, ToolsDir), "named": filepath.Join(work, "mine")}
			for place, version := range map[string]string{"path": c.inPath, "tools": c.inTools, "named": c.named} {
				if version != "" {
					fakeEnvoy(t, places[place], version)
				}
			}
			below := filepath.Join(work, "a", "b")
			if err := os.MkdirAll(below, 0o755); err != nil {
				t.Fatal(err)
			}
			t.Chdir(below)
			named := ""
			if c.named != "" {
				named = filepath.Join(places["named"], "envoy")
			}
			got, err := FindEnvoy(context.Background(), named)
			if err != nil {
				t.Fatal(err)
			}
			if same, err := sameFile(got, filepath.Join(places[c.want], "envoy")); err != nil || !same {
				t.Errorf("found %s, want the one in %s (%v)", got, places[c.want], err)
			}
		})
	}
}

func sameFile(a, b string) (bool, error) {
	x, err := os.Stat(a)
	if err != nil {
		return false, err
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y), err
}

// What a user reads when there is no Envoy to be had says what to do.
func TestUnusableEnvoyIsExplained(t *testing.T) {
	cases := map[string]struct {
		script string // of the program in PATH, empty for none
		named  string
		want   []string
	}{
		"none anywhere":   {want: []string{"no Envoy found", "PATH", "make tools", "--envoy"}},
		"named, missing":  {named: "/nowhere/envoy", want: []string{"/nowhere/envoy", "1.40.0", "--envoy"}},
		"too old":         {script: "echo 'envoy  version: ab12/1.39.2/Clean/RELEASE/BoringSSL'", want: []string{"1.39.2", "older than 1.40.0", "make tools", "--envoy"}},
		"another program": {script: "echo GNU envoy; echo more", want: []string{"not an Envoy", `"GNU envoy"`}},
		"fails":           {script: "echo cannot execute >&2; exit 126", want: []string{"version", "126", "--envoy"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, path := elsewhere(t)
			if c.script != "" {
				program(t, path, c.script)
			}
			got, err := FindEnvoy(context.Background(), c.named)
			if err == nil {
				t.Fatalf("found %s", got)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the message %q does not say %q", err, part)
				}
			}
			if errors.Is(err, ErrNoEnvoy) != (name == "none anywhere") {
				t.Errorf("is ErrNoEnvoy: %v", errors.Is(err, ErrNoEnvoy))
			}
		})
	}
}

func TestVersionOrder(t *testing.T) {
	sorted := []Version{{0, 99, 99}, {1, 0, 0}, {1, 0, 1}, {1, 9, 0}, {1, 40, 0}, {2, 0, 0}}
	for i, a := range sorted {
		for j, b := range sorted {
			if got := a.Before(b); got != (i < j) {
				t.Errorf("%s before %s: %v", a, b, got)
			}
		}
	}
}

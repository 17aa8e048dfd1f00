// Package rooms holds no code, only the test that keeps the rooms of the project apart: data flows one way,
// and a room imports only rooms to its left.
//
//	source -> translate -> xds -> proxies; source -> epp; translate -> proxyfleet
package rooms

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/switchyard/switchyard/"

// forbidden lists, by the room that imports, what it must not reach, directly or through others. The longest
// matching room counts. Rooms of this project are relative to the module.
var forbidden = map[string][]string{
	"internal/source": {"translate", "xds", "epp", "proxyfleet", "internal/pipeline", "cmd"},
	"translate": {
		"xds", "epp", "proxyfleet", "internal/source/file", "internal/source/kube", "internal/pipeline", "cmd",
		"k8s.io/client-go", "sigs.k8s.io/controller-runtime",
	},
	"translate/model": {
		"translate/gatewayapi", "translate/envoy", "xds", "epp", "proxyfleet", "internal/pipeline", "cmd",
		"github.com/envoyproxy", "sigs.k8s.io/gateway-api/pkg",
	},
	"translate/gatewayapi": {"translate/envoy", "xds", "epp", "proxyfleet", "internal/pipeline", "github.com/envoyproxy"},
	"xds": {
		"translate/gatewayapi", "translate/envoy", "translate/model", "epp", "proxyfleet",
		"internal/source/file", "internal/pipeline", "cmd",
	},
	"epp": {
		"translate", "xds", "proxyfleet", "internal/source", "internal/pipeline", "cmd",
		"sigs.k8s.io/gateway-api", "k8s.io/api/",
	},
	// The picker as a program may read folders and clusters; what proxies need it knows nothing of.
	"epp/command": {"proxyfleet", "internal/cluster", "internal/stack", "cmd"},
	// It runs in the picker's process, and so must need no more than that.
	"internal/standalone": {"proxyfleet", "internal/cluster", "internal/stack", "epp/command", "internal/source/kube", "k8s.io/client-go", "cmd"},
	"internal/identity":   {"translate", "xds", "epp", "proxyfleet", "internal/pipeline", "cmd"},
	"proxyfleet":          {"translate/gatewayapi", "translate/envoy", "xds", "epp", "internal/pipeline", "cmd"},
	"internal/status":     {"translate/envoy", "xds", "epp", "proxyfleet", "internal/pipeline", "cmd"},
	"internal/sim":        {"translate", "xds", "epp", "proxyfleet", "internal/source", "internal/pipeline", "cmd"},
}

type listed struct {
	ImportPath string
	Deps       []string
}

func TestRoomsImportOnlyWhatIsToTheirLeft(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Deps", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	checked := map[string]bool{}
	for decoder.More() {
		var p listed
		if err := decoder.Decode(&p); err != nil {
			t.Fatal(err)
		}
		room, banned := rulesOf(strings.TrimPrefix(p.ImportPath, module))
		checked[room] = true
		for _, dep := range p.Deps {
			if hit := match(dep, banned); hit != "" {
				t.Errorf("%s reaches %s, which %s must not", p.ImportPath, dep, room)
			}
		}
	}
	for room := range forbidden {
		if !checked[room] {
			t.Errorf("no package was found for the room %q: is the rule stale?", room)
		}
	}
}

// TestQuickstartCompilesWhatItNeeds keeps out of `make run`'s program what takes long to compile and is for clusters, where databases are, too: a newcomer
// waits for it.
func TestQuickstartCompilesWhatItNeeds(t *testing.T) {
	banned := []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime", "github.com/redis", "go.opentelemetry.io/otel/sdk"}
	for tags, want := range map[string]bool{"quickstart": false, "": true} {
		out, err := exec.Command("go", "list", "-deps", "-tags", tags, module+"cmd/controlplane").Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		reached := map[string]bool{}
		for dep := range strings.Lines(string(out)) {
			if hit := match(strings.TrimSpace(dep), banned); hit != "" {
				reached[hit] = true
			}
		}
		for _, dep := range []string{"k8s.io/client-go", "github.com/redis"} {
			if reached[dep] != want {
				t.Errorf("with the tags %q %s is reached: %t, want %t", tags, dep, reached[dep], want)
			}
		}
		if !want && len(reached) > 0 {
			t.Errorf("the quickstart reaches %v", reached)
		}
	}
}

func rulesOf(pkg string) (room string, banned []string) {
	for r, b := range forbidden {
		if (pkg == r || strings.HasPrefix(pkg, r+"/")) && len(r) > len(room) {
			room, banned = r, b
		}
	}
	return room, banned
}

func match(dep string, banned []string) string {
	dep = strings.TrimPrefix(dep, module)
	for _, b := range banned {
		if dep == b || strings.HasPrefix(dep, strings.TrimSuffix(b, "/")+"/") {
			return b
		}
	}
	return ""
}

// TestTranslateHasNoClock holds translate to its word: the same objects give the same bytes at any time.
func TestTranslateHasNoClock(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("../../translate", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		seen++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && clockOrChance(x.Name, sel.Sel.Name) {
					t.Errorf("%s uses %s.%s", path, x.Name, sel.Sel.Name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Error("no file of translate was read")
	}
}

func clockOrChance(pkg, name string) bool {
	switch pkg {
	case "time":
		return name == "Now" || name == "Since" || name == "After" || name == "Sleep"
	case "rand", "os", "http", "uuid":
		return true
	}
	return false
}

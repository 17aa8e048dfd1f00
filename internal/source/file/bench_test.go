package file

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeRoutes makes a directory of n HTTPRoutes, perFile in each file.
func writeRoutes(tb testing.TB, n, perFile int) string {
	tb.Helper()
	dir := tb.TempDir()
	for start := 0; start < n; start += perFile {
		var b strings.Builder
		for i := start; i < min(n, start+perFile); i++ {
			b.WriteString(routeText(i, "backend"))
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("routes-%06d.yaml", start)), []byte(b.String()), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func routeText(i int, backend string) string {
	return fmt.Sprintf(`---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: route-%[1]d
spec:
  parentRefs:
  - name: edge
  hostnames: [h%[1]d.example.com]
  rules:
  - matches:
    - path: {type: PathPrefix, value: /v1}
      headers: [{name: x-model, value: m%[1]d}]
    backendRefs:
    - name: %[2]s
      port: 80
      weight: 9
    - name: canary
      port: 80
`, i, backend)
}

// BenchmarkLoadQuickstart is the cost of the manifests at start, schemas already compiled.
func BenchmarkLoadQuickstart(b *testing.B) {
	for b.Loop() {
		if _, err := Load("testdata/quickstart"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoadRoutes is the first load of many objects.
func BenchmarkLoadRoutes(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := writeRoutes(b, n, 1)
			for b.Loop() {
				if _, err := Load(dir); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "us/object")
		})
	}
}

// BenchmarkOneRouteChanged is what an edit of one file costs among n.
func BenchmarkOneRouteChanged(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCatalog()
			found, err := scan(writeRoutes(b, n, 1), nil)
			if err != nil {
				b.Fatal(err)
			}
			c.apply(found.load(c.files))
			path := found.files[n/2]
			for i := 0; b.Loop(); i++ {
				text := []byte(routeText(n/2, fmt.Sprint("backend-", i)))
				if !c.apply(map[string]*manifest{path: parseManifest(path, text, c.files[path])}) {
					b.Fatal("the edit changed nothing")
				}
			}
		})
	}
}

// BenchmarkCompileSchemas is what the first object of every custom kind adds to the start.
func BenchmarkCompileSchemas(b *testing.B) {
	for b.Loop() {
		bundle, err := openSchemas()
		if err != nil {
			b.Fatal(err)
		}
		for _, compile := range bundle.compile {
			if _, err := compile(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

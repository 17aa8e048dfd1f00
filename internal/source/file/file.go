// Package file reads Kubernetes manifests from a file or a directory and keeps a source.Store in step with
// them while they are edited.
//
// It does what an API server would do with the manifests: strict decoding, the checks of the CRD schemas and their CEL
// rules, defaults, generations. It must not interpret them: what a route means is for translate. The
// result depends on the manifests alone; there is no clock in it.
//
//	files -> documents -> items (decoded, checked) -> catalog (one good version per object) -> source.Store
package file

//go:generate go run ./schemagen schemas/schemas.json.gz

import (
	"fmt"

	"github.com/switchyard/switchyard/internal/source"
)

// MaxFileBytes is the largest manifest file that is read. A larger one is a Problem.
const MaxFileBytes = 16 << 20

// Load reads a file or directory once. The error is non-nil only when path itself cannot be read; whatever
// is wrong below it is in the Update.
func Load(path string) (source.Update, error) {
	found, err := scan(path, nil)
	if err != nil {
		return source.Update{}, fmt.Errorf("read manifests: %w", err)
	}
	c := newCatalog()
	c.apply(found.load(c.files))
	return c.update(), nil
}

// Decode reads manifests from memory as if they were the only file, called name. A name that ends in .json
// is read as JSON, any other as YAML.
func Decode(data []byte, name string) source.Update {
	c := newCatalog()
	c.apply(map[string]*manifest{name: parseManifest(name, data, nil)})
	return c.update()
}

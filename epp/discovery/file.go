package discovery

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/reload"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// FileType is the type of File.
const FileType = "file-discovery"

// File reads the endpoints of the pool from a YAML or JSON file of at most 1 MiB, in place of a cluster: `endpoints` is a list
// of `name`, `namespace` (default), `address` (an IPv4 or IPv6 address; proxies route to it, so that names of hosts do not do),
// `port` (a number or a string) and `labels`. A name is there once in its namespace. A file that is wrong keeps the picker from
// starting; one that becomes wrong later is logged and counted, and the endpoints before it stay, all of them.
type File struct {
	Path  string
	Watch bool
}

// NewFile reads `path` (required), the file, and `watchFile` (false): whether changes of the file are followed, also when it is
// replaced by a rename or through the symlinks of a mounted ConfigMap.
func NewFile(parameters []byte) (*File, error) {
	given := struct {
		Path  string `json:"path"`
		Watch bool   `json:"watchFile"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.Path == "" {
		return nil, fmt.Errorf("parameters: path: missing; give the file with the endpoints")
	}
	return &File{Path: given.Path, Watch: given.Watch}, nil
}

// Read gives the endpoints of the file as it stands, and its text, for Follow.
func (f *File) Read() (specs []datalayer.Spec, text []byte, err error) {
	text, err = reload.Read(f.Path)
	if err != nil {
		return nil, nil, fmt.Errorf("reading endpoints: %w", err)
	}
	if specs, err = parse(text); err != nil {
		return nil, nil, fmt.Errorf("reading endpoints from %s: %w", f.Path, err)
	}
	return specs, text, nil
}

// Follow calls apply with the endpoints of each version of the file after the one that is known, until ctx ends. It returns at
// once when the file is not to be watched.
func (f *File) Follow(ctx context.Context, known []byte, apply func([]datalayer.Spec), counts *Metrics, log *slog.Logger) {
	if !f.Watch {
		return
	}
	file, err := reload.Follow(f.Path, known)
	if err != nil {
		log.Error("changes of the endpoints take effect at the next start only", "error", err)
		counts.failed()
		return
	}
	file.Run(ctx, func(text []byte, err error) {
		var specs []datalayer.Spec
		if err == nil {
			specs, err = parse(text)
		}
		if err != nil {
			log.Error("the changed file of endpoints is refused; the endpoints before it stay", "file", f.Path, "error", err)
			counts.failed()
			return
		}
		apply(specs)
		counts.succeeded()
		log.Info("the changed endpoints are in force", "file", f.Path, "endpoints", len(specs))
	})
}

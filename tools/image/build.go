package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	entrypoint = "/controlplane"
	// The number that distroless images call nonroot. A number, so that a kubelet can check runAsNonRoot.
	user = "65532"
)

// program is the executable of one platform.
type program struct {
	platform v1.Platform
	file     string
}

// image is the image of one platform.
type image struct {
	v1.Image
	platform v1.Platform
}

func build(s settings) (imageSet, error) {
	certificates, err := os.ReadFile(s.certificates)
	if err != nil && s.certificates != "" && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("-certificates: %w", err)
	}
	var set imageSet
	for _, p := range s.programs {
		content, err := os.ReadFile(p.file)
		if err != nil {
			return nil, fmt.Errorf("-program: %w", err)
		}
		if err := checkProgram(content, p.platform); err != nil {
			return nil, fmt.Errorf("-program %s: %w", p.file, err)
		}
		built, err := buildImage(p.platform, content, certificates, s.labels)
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", p.platform, err)
		}
		set = append(set, image{Image: built, platform: p.platform})
	}
	return set, nil
}

// checkProgram refuses what would only fail once it runs: the wrong processor, or a program that needs a C library.
func checkProgram(content []byte, platform v1.Platform) error {
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	want, known := machines[platform.Architecture]
	if !known || platform.OS != "linux" {
		return fmt.Errorf("platform %s: only linux/amd64 and linux/arm64 are built", platform)
	}
	parsed, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("not a Linux program: %w", err)
	}
	if parsed.Machine != want {
		return fmt.Errorf("is for %s, not for %s; compile it with GOARCH=%s", parsed.Machine, want, platform.Architecture)
	}
	for _, part := range parsed.Progs {
		if part.Type == elf.PT_INTERP {
			return errors.New("is linked dynamically, and the image has no C library; compile it with CGO_ENABLED=0")
		}
	}
	return nil
}

func buildImage(platform v1.Platform, content, certificates []byte, labels map[string]string) (v1.Image, error) {
	files, err := layerFiles(content, certificates)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files)), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	built := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	built, err = mutate.Append(built, mutate.Addendum{Layer: layer, MediaType: types.OCILayer, History: v1.History{CreatedBy: "switchyard tools/image"}})
	if err != nil {
		return nil, err
	}
	config, err := built.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Config = v1.Config{
		Entrypoint: []string{entrypoint},
		User:       user,
		WorkingDir: "/",
		Env:        []string{"PATH=/"},
		Labels:     maps.Clone(labels),
	}
	return mutate.ConfigFile(built, config)
}

// layerFiles is the whole file system as a tar: in a fixed order, owned by root, and without times.
func layerFiles(content, certificates []byte) ([]byte, error) {
	passwd := "root:x:0:0:root:/:/none\nnonroot:x:" + user + ":" + user + ":nonroot:/:/none\n"
	group := "root:x:0:\nnonroot:x:" + user + ":\n"
	type entry struct {
		header  tar.Header
		content []byte
	}
	entries := []entry{
		{tar.Header{Name: entrypoint[1:], Mode: 0o755}, content},
		{tar.Header{Name: "etc/", Mode: 0o755, Typeflag: tar.TypeDir}, nil},
		{tar.Header{Name: "etc/group", Mode: 0o644}, []byte(group)},
		{tar.Header{Name: "etc/passwd", Mode: 0o644}, []byte(passwd)},
		{tar.Header{Name: "etc/ssl/", Mode: 0o755, Typeflag: tar.TypeDir}, nil},
		{tar.Header{Name: "etc/ssl/certs/", Mode: 0o755, Typeflag: tar.TypeDir}, nil},
		{tar.Header{Name: "tmp/", Mode: 0o1777, Typeflag: tar.TypeDir}, nil},
	}
	if certificates != nil {
		entries = append(entries, entry{tar.Header{Name: "etc/ssl/certs/ca-certificates.crt", Mode: 0o644}, certificates})
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		e.header.Size = int64(len(e.content))
		if err := w.WriteHeader(&e.header); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

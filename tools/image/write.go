package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// imageSet is one image per platform, in the order of the flags.
type imageSet []image

// index lists all platforms. A set of one needs none.
func (s imageSet) index() v1.ImageIndex {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, i := range s {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: i.Image, Descriptor: v1.Descriptor{Platform: &i.platform}})
	}
	return index
}

// digest is what a registry will call the set.
func (s imageSet) digest() (v1.Hash, error) {
	if len(s) == 1 {
		return s[0].Digest()
	}
	return s.index().Digest()
}

// local is the image for this machine's processor, else the first.
func (s imageSet) local() v1.Image {
	for _, i := range s {
		if i.platform.Architecture == runtime.GOARCH {
			return i.Image
		}
	}
	return s[0].Image
}

// writeArchive replaces file only when all of it is written: a loader never sees half an image.
func writeArchive(file, reference string, s imageSet) error {
	tag, err := name.NewTag(reference)
	if err != nil {
		return fmt.Errorf("-name: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("-archive: %w", err)
	}
	part := file + ".part"
	defer os.Remove(part)
	if err := tarball.WriteToFile(part, tag, s.local()); err != nil {
		return fmt.Errorf("-archive: %w", err)
	}
	if err := os.Rename(part, file); err != nil {
		return fmt.Errorf("-archive: %w", err)
	}
	return nil
}

// writeLayout refuses a directory with something in it, which it would have to delete.
func writeLayout(directory string, s imageSet) error {
	if there, err := os.ReadDir(directory); err == nil && len(there) > 0 {
		return fmt.Errorf("-layout: %s is not empty; delete it first", directory)
	}
	if _, err := layout.Write(directory, s.index()); err != nil {
		return fmt.Errorf("-layout: %w", err)
	}
	return nil
}

func push(reference string, s imageSet) error {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return fmt.Errorf("-push: %w", err)
	}
	keys := remote.WithAuthFromKeychain(authn.DefaultKeychain)
	if len(s) == 1 {
		err = remote.Write(ref, s[0].Image, keys)
	} else {
		err = remote.WriteIndex(ref, s.index(), keys)
	}
	if err != nil {
		return fmt.Errorf("-push %s: %w", ref, err)
	}
	return nil
}

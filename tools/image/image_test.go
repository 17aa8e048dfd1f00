package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// elfProgram is the least that counts as a program: a header, and an interpreter when it is to look dynamically linked.
func elfProgram(t *testing.T, machine elf.Machine, dynamic bool) []byte {
	t.Helper()
	head := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Ehsize: 64, Phentsize: 56, Shentsize: 64,
	}
	copy(head.Ident[:], elf.ELFMAG)
	head.Ident[elf.EI_CLASS], head.Ident[elf.EI_DATA] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB)
	head.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	if dynamic {
		head.Phoff, head.Phnum = 64, 1
	}
	var out bytes.Buffer
	if err := binary.Write(&out, binary.LittleEndian, head); err != nil {
		t.Fatal(err)
	}
	if dynamic {
		if err := binary.Write(&out, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_INTERP)}); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func writeFile(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// twoPlatforms is what the command line makes of a program for each processor, in a directory of its own.
func twoPlatforms(t *testing.T) settings {
	t.Helper()
	dir := t.TempDir()
	s, err := parse([]string{
		"-name", "registry.example/switchyard:1",
		"-program", "linux/amd64=" + writeFile(t, dir, "amd64", elfProgram(t, elf.EM_X86_64, false)),
		"-program", "linux/arm64=" + writeFile(t, dir, "arm64", elfProgram(t, elf.EM_AARCH64, false)),
		"-certificates", writeFile(t, dir, "certificates", []byte("a certificate\n")),
		"-source", "https://example.com/source", "-version", "1.2.3", "-revision", "abcdef",
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustBuild(t *testing.T, s settings) imageSet {
	t.Helper()
	set, err := build(s)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func digestOf(t *testing.T, of interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	digest, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestTheSameInputGivesTheSameDigest(t *testing.T) {
	first, second := mustBuild(t, twoPlatforms(t)), mustBuild(t, twoPlatforms(t))
	if a, b := digestOf(t, first.index()), digestOf(t, second.index()); a != b {
		t.Errorf("two builds of the same programs have the digests %s and %s", a, b)
	}
	var archives [2][]byte
	for i, set := range []imageSet{first, second} {
		file := filepath.Join(t.TempDir(), "image.tar")
		if err := writeArchive(file, "registry.example/switchyard:1", set); err != nil {
			t.Fatal(err)
		}
		var err error
		if archives[i], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the archives of two builds differ")
	}

	changed := twoPlatforms(t)
	changed.labels["org.opencontainers.image.version"] = "1.2.4"
	if digestOf(t, first.index()) == digestOf(t, mustBuild(t, changed).index()) {
		t.Error("another version has the same digest")
	}
}

func TestWhatTheImageSays(t *testing.T) {
	for i, built := range mustBuild(t, twoPlatforms(t)) {
		config, err := built.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := config.Architecture, []string{"amd64", "arm64"}[i]; got != want {
			t.Errorf("architecture %q, want %q", got, want)
		}
		if got := config.Config.Entrypoint; !slices.Equal(got, []string{"/controlplane"}) {
			t.Errorf("entrypoint %q", got)
		}
		if config.Config.User != "65532" {
			t.Errorf("user %q", config.Config.User)
		}
		for label, want := range map[string]string{"source": "https://example.com/source", "version": "1.2.3", "revision": "abcdef"} {
			if got := config.Config.Labels["org.opencontainers.image."+label]; got != want {
				t.Errorf("label %s is %q, want %q", label, got, want)
			}
		}
	}
}

func TestFilesOfTheImage(t *testing.T) {
	set := mustBuild(t, twoPlatforms(t))
	reader := mutate.Extract(set[0])
	defer reader.Close()
	found := map[string]tar.Header{}
	for files := tar.NewReader(reader); ; {
		header, err := files.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found[strings.TrimSuffix(header.Name, "/")] = *header
		if header.Uid != 0 || header.ModTime.Unix() != 0 {
			t.Errorf("%s is owned by %d and has the time %s", header.Name, header.Uid, header.ModTime)
		}
	}
	for name, mode := range map[string]int64{
		"controlplane": 0o755, "etc/passwd": 0o644, "etc/ssl/certs/ca-certificates.crt": 0o644, "tmp": 0o1777,
	} {
		if header, there := found[name]; !there || header.Mode != mode {
			t.Errorf("%s: in the image %v, mode %o, want %o", name, there, header.Mode, mode)
		}
	}
}

func TestPushAndPull(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	set := mustBuild(t, twoPlatforms(t))

	if err := push(host+"/switchyard:both", set); err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(mustParse(t, host+"/switchyard:both"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := digestOf(t, index), digestOf(t, set.index()); got != want {
		t.Errorf("pulled index %s, pushed %s", got, want)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	arm, err := remote.Image(mustParse(t, host+"/switchyard:both"), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: "arm64"}))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := digestOf(t, arm), digestOf(t, set[1]); got != want {
		t.Errorf("linux/arm64 is %s, pushed %s", got, want)
	}

	if err := push(host+"/switchyard:one", set[:1]); err != nil {
		t.Fatal(err)
	}
	one, err := remote.Image(mustParse(t, host+"/switchyard:one"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := digestOf(t, one), digestOf(t, set[0]); got != want {
		t.Errorf("pulled image %s, pushed %s", got, want)
	}
}

func mustParse(t *testing.T, reference string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestArchiveAndLayout(t *testing.T) {
	set := mustBuild(t, twoPlatforms(t))
	dir := t.TempDir()

	archive := filepath.Join(dir, "new", "image.tar")
	if err := writeArchive(archive, "registry.example/switchyard:1", set); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("registry.example/switchyard:1")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tarball.ImageFromPath(archive, &tag)
	if err != nil {
		t.Fatal(err)
	}
	got, err := loaded.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	want, err := set.local().ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("the archive holds the image %s, want %s", got, want)
	}

	folder := filepath.Join(dir, "layout")
	if err := writeLayout(folder, set); err != nil {
		t.Fatal(err)
	}
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	if err := writeLayout(folder, set); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a second layout in the same directory: %v", err)
	}
}

func TestCertificatesAreOptional(t *testing.T) {
	s := twoPlatforms(t)
	s.certificates = filepath.Join(t.TempDir(), "none")
	reader := mutate.Extract(mustBuild(t, s)[0])
	defer reader.Close()
	for files := tar.NewReader(reader); ; {
		header, err := files.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(header.Name, ".crt") {
			t.Errorf("%s is in the image, though there was no file of certificates", header.Name)
		}
	}
}

func TestProgramsThatCannotRunAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		platform string
		content  []byte
		want     string
	}{
		"dynamic":         {"linux/amd64", elfProgram(t, elf.EM_X86_64, true), "CGO_ENABLED=0"},
		"other processor": {"linux/arm64", elfProgram(t, elf.EM_X86_64, false), "GOARCH=arm64"},
		"no program":      {"linux/amd64", []byte("#!/bin/sh\n"), "not a Linux program"},
		"other system":    {"windows/amd64", elfProgram(t, elf.EM_X86_64, false), "only linux"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := parse([]string{"-program", c.platform + "=" + writeFile(t, t.TempDir(), "program", c.content)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := build(s); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

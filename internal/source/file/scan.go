package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/switchyard/switchyard/internal/source"
)

// scanned is what a walk found: manifest files, and directories that could not be listed.
type scanned struct {
	files      []string
	unreadable map[string]error
}

// scan lists the manifests at a path, in depth. onDir, when given, is called with each directory before it is
// listed, so that a watch set by it misses nothing. The error is non-nil when root cannot be read.
func scan(root string, onDir func(string)) (scanned, error) {
	info, err := os.Stat(root)
	if err != nil {
		return scanned{}, err
	}
	found := scanned{unreadable: map[string]error{}}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return scanned{}, fmt.Errorf("%s is neither a file nor a directory", root)
		}
		f, err := os.Open(root)
		if err != nil {
			return scanned{}, err
		}
		f.Close()
		found.files = []string{root}
		return found, nil
	}
	if err := found.walk(root, []fs.FileInfo{info}, onDir); err != nil {
		return scanned{}, err
	}
	return found, nil
}

// walk lists one directory. Links to directories are followed, except to one of those above.
func (s *scanned) walk(dir string, above []fs.FileInfo, onDir func(string)) error {
	if onDir != nil {
		onDir(dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if hidden(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if !e.IsDir() && e.Type()&fs.ModeSymlink == 0 {
			if manifestName(path) {
				s.files = append(s.files, path)
			}
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil || !info.IsDir():
			if manifestName(path) { // a dangling link counts as a file that is gone
				s.files = append(s.files, path)
			}
		case slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, info) }):
		default:
			if err := s.walk(path, append(slices.Clip(above), info), onDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				s.unreadable[path] = err
			}
		}
	}
	return nil
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// manifestName tells whether a file is read. Editors' backup and swap files end in something else or are hidden.
func manifestName(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml", ".json":
		return !hidden(filepath.Base(path))
	}
	return false
}

// load reads the files that are new or look changed, and marks with nil those that are gone.
func (s scanned) load(before map[string]*manifest) map[string]*manifest {
	next := map[string]*manifest{}
	present := make(map[string]bool, len(s.files))
	for _, path := range s.files {
		present[path] = true
		old := before[path]
		if old != nil && looksUnchanged(path, old) {
			continue
		}
		if m := readManifest(path, old); m != old {
			next[path] = m
		}
	}
	for path, old := range before {
		if present[path] {
			continue
		}
		if dir, err, below := s.below(path); below {
			next[path] = failed(path, old.hash, old, unreadableDir(dir, err))
		} else {
			next[path] = nil
		}
	}
	for _, dir := range sortedKeys(s.unreadable) {
		// The directory stands in for files in it that were never seen.
		next[dir] = failed(dir, xxh3.Uint128{}, before[dir], unreadableDir(dir, s.unreadable[dir]))
	}
	return next
}

func unreadableDir(dir string, err error) source.Problem {
	return source.Problem{
		File:    dir,
		Message: "the directory cannot be read, its objects stay as they were: " + reason(err),
		Fix:     "make it readable, or delete it to remove its objects",
	}
}

// below finds the unreadable directory that a path is in.
func (s scanned) below(path string) (string, error, bool) {
	for dir, err := range s.unreadable {
		if strings.HasPrefix(path, dir+string(filepath.Separator)) {
			return dir, err, true
		}
	}
	return "", nil, false
}

// looksUnchanged spares reading a file whose size, time and inode are those of the version read before. The
// watcher reads files it has an event for in any case.
func looksUnchanged(path string, old *manifest) bool {
	if old.failure != nil || old.info == nil {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && os.SameFile(info, old.info) && info.Size() == old.info.Size() && info.ModTime().Equal(old.info.ModTime())
}

// readManifest gives the file's version now: the old one itself when nothing changed, nil when it is gone.
func readManifest(path string, old *manifest) *manifest {
	data, info, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		why := source.Problem{
			File:    path,
			Message: "the file cannot be read, its objects stay as they were: " + reason(err),
			Fix:     "make it readable, or delete it to remove its objects",
		}
		if old != nil && old.failure != nil && *old.failure == why {
			return old
		}
		return failed(path, xxh3.Uint128{}, old, why)
	}
	hash := xxh3.Hash128(data)
	switch {
	case old != nil && old.hash == hash && (old.failure == nil || len(data) == 0):
		old.info = info
		return old
	case len(data) == 0 && old != nil && len(old.refs())+len(old.heldRefs()) > 0:
		m := emptied(path, hash, old)
		m.info = info
		return m
	}
	m := parseManifest(path, data, old)
	m.info = info
	return m
}

// readBounded reads a regular file of at most MaxFileBytes.
func readBounded(path string) ([]byte, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, nil, err
	}
	if len(data) > MaxFileBytes {
		return nil, nil, fmt.Errorf("it is larger than %d MiB; split it", MaxFileBytes>>20)
	}
	return data, info, nil
}

// reason gives the bare cause of a file error; the path is told apart.
func reason(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}

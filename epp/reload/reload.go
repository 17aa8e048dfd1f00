// Package reload watches one file and tells of its new content. It must not interpret the content, nor stop at a file that is
// missing or unreadable for a while.
//
//	file (or the symlink of a mounted ConfigMap) -> Watch -> apply
package reload

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long after a change the file is read: editors and the kubelet change more than one thing at a time.
const settle = 50 * time.Millisecond

// lookEvery is how often the file is read when no change is announced: some file systems announce none.
const lookEvery = 10 * time.Second

// MaxBytes bounds what is read of a file.
const MaxBytes = 2 << 20

// Read reads a file of at most MaxBytes.
func Read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, MaxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("%s: larger than the %d bytes that are read", path, MaxBytes)
	}
	return text, nil
}

// File is a file whose content is followed.
type File struct {
	path  string
	known []byte
	// trouble is the error that was told last, so that it is told once.
	trouble string
	watcher *fsnotify.Watcher
	every   time.Duration
}

// Follow begins to watch path, whose content so far is known.
func Follow(path string, known []byte) (*File, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", path, err)
	}
	// The folder is watched, not the file: a file that is replaced is another one, and of a mounted ConfigMap the folder's
	// ..data is what changes.
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		_ = watcher.Close()
		return nil, fmt.Errorf("watching %s: %w", path, err)
	}
	return &File{path: path, known: known, watcher: watcher, every: lookEvery}, nil
}

// Run calls apply with the content, or why it cannot be read, whenever that is not what it was told (or knew) last. It returns
// when ctx ends, and may be called once.
func (f *File) Run(ctx context.Context, apply func(text []byte, err error)) {
	defer f.watcher.Close()
	look := time.NewTimer(0) // for what changed before the watch began
	defer look.Stop()
	settling := false
	soon := func() {
		// A folder in which something changes all the time must not put off the look for ever.
		if !settling {
			settling = true
			look.Reset(settle)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.watcher.Events:
			soon()
		case <-f.watcher.Errors: // events were lost: as good as one
			soon()
		case <-look.C:
			settling = false
			f.look(apply)
			look.Reset(f.every)
		}
	}
}

func (f *File) look(apply func([]byte, error)) {
	text, err := Read(f.path)
	switch {
	case err != nil && f.trouble != err.Error():
		f.trouble = err.Error()
		apply(nil, err)
	case err == nil && (f.trouble != "" || !bytes.Equal(text, f.known)):
		f.trouble, f.known = "", text
		apply(text, nil)
	}
}

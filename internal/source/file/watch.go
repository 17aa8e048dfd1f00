package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/zeebo/xxh3"

	"github.com/switchyard/switchyard/internal/source"
)

// A burst of events is taken as one edit: it ends when nothing came for quietTime, and is acted on after
// burstLimit at the latest.
const (
	quietTime  = 20 * time.Millisecond
	burstLimit = 200 * time.Millisecond
)

// Source watches a file or directory of manifests. Its Run is called once.
type Source struct {
	root    string
	log     *slog.Logger
	catalog *catalog
	watcher *fsnotify.Watcher
	watched map[string]bool // directories below root, as long as they are watched
	single  bool            // root is a file
}

// New makes a Source of the manifests at a path.
func New(path string, log *slog.Logger) *Source {
	return &Source{root: filepath.Clean(path), log: log, catalog: newCatalog(), watched: map[string]bool{}}
}

// Run puts the manifests into the store, and again whenever they change, until ctx ends; it then returns
// nil. It returns an error at once when the path cannot be read or watched.
func (s *Source) Run(ctx context.Context, store *source.Store) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch manifests: %w", err)
	}
	defer watcher.Close()
	s.watcher = watcher
	if err := s.start(); err != nil {
		return fmt.Errorf("read manifests: %w", err)
	}
	store.Put(s.catalog.update())
	s.logUpdate("manifests read")
	return s.follow(ctx, store)
}

// start watches and reads for the first time. The directory above root is watched too, for root may be
// replaced as a whole.
func (s *Source) start() error {
	info, err := os.Stat(s.root)
	if err != nil {
		return err
	}
	s.single = !info.IsDir()
	parent := filepath.Dir(s.root)
	if err := s.watcher.Add(parent); err != nil && s.single {
		return fmt.Errorf("watch %s: %w", parent, err)
	}
	found, err := s.scan()
	if err != nil {
		return err
	}
	s.catalog.apply(found.load(s.catalog.files))
	return nil
}

// scan lists the manifests, watches the directories they are in and forgets those that are gone. A
// directory that cannot be watched is still read, once.
func (s *Source) scan() (scanned, error) {
	seen := map[string]bool{}
	found, err := scan(s.root, func(dir string) {
		if err := s.watcher.Add(dir); err != nil {
			s.log.Warn("directory is not watched, edits in it need a restart", "directory", dir, "error", err)
			return
		}
		seen[dir] = true
	})
	if err != nil {
		return found, err
	}
	for dir := range s.watched {
		if !seen[dir] {
			// It fails when the directory was deleted, which ended the watch.
			_ = s.watcher.Remove(dir)
		}
	}
	s.watched = seen
	return found, nil
}

// pending is what the events of one burst ask for.
type pending struct {
	all   bool            // list the directories again
	files map[string]bool // read these files, whatever their size and time say
	since time.Time       // of the first event
}

func (p *pending) empty() bool { return !p.all && len(p.files) == 0 }

// follow acts on events until ctx ends.
func (s *Source) follow(ctx context.Context, store *source.Store) error {
	var burst pending
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-s.watcher.Events:
			if !ok {
				return errors.New("watch manifests: the watcher stopped")
			}
			if s.note(event, &burst) {
				timer.Reset(untilDue(&burst, time.Now()))
			}
		case err, ok := <-s.watcher.Errors:
			if !ok {
				return errors.New("watch manifests: the watcher stopped")
			}
			s.log.Warn("events were lost, all manifests are read again", "error", err)
			burst.all = true
			timer.Reset(untilDue(&burst, time.Now()))
		case <-timer.C:
			if s.reload(burst) {
				store.Put(s.catalog.update())
				s.logUpdate("manifests changed")
			}
			burst = pending{}
		}
	}
}

// untilDue gives the wait after an event: quietTime, but not past burstLimit after the first one.
func untilDue(burst *pending, now time.Time) time.Duration {
	if burst.since.IsZero() {
		burst.since = now
	}
	return max(0, min(quietTime, burst.since.Add(burstLimit).Sub(now)))
}

// note adds an event to the burst and tells whether it matters. Editors' own files do not.
func (s *Source) note(event fsnotify.Event, burst *pending) bool {
	path := filepath.Clean(event.Name)
	name := filepath.Base(path)
	switch {
	case path == s.root, strings.HasPrefix(name, ".."):
		burst.all = true // ..data is the link that a mounted ConfigMap swaps
	case s.single, !s.inRoot(path), hidden(name):
		return false
	case s.watched[path]:
		if event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename) {
			delete(s.watched, path)
		}
		burst.all = true
	case manifestName(path) && !isDir(path):
		if burst.files == nil {
			burst.files = map[string]bool{}
		}
		burst.files[path] = true
	case event.Has(fsnotify.Create) && isDir(path):
		burst.all = true
	default:
		return false
	}
	return true
}

func (s *Source) inRoot(path string) bool {
	return s.root == "." && !filepath.IsAbs(path) ||
		strings.HasPrefix(path, strings.TrimSuffix(s.root, string(filepath.Separator))+string(filepath.Separator))
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// reload reads what a burst asks for and tells whether the view changed.
func (s *Source) reload(burst pending) bool {
	if burst.empty() {
		return false
	}
	next := map[string]*manifest{}
	if burst.all {
		found, err := s.scan()
		if err != nil {
			return s.catalog.apply(map[string]*manifest{s.root: s.withoutRoot(err)})
		}
		next = found.load(s.catalog.files)
		if s.single {
			next = map[string]*manifest{s.root: readManifest(s.root, s.catalog.files[s.root])}
		}
	}
	for path := range burst.files {
		if _, done := next[path]; !done {
			next[path] = readManifest(path, s.catalog.files[path])
		}
	}
	return s.catalog.apply(next)
}

// withoutRoot is the version that stands for a root that went away: everything stays until it is back. A
// directory that is being replaced must not take the traffic with it.
func (s *Source) withoutRoot(err error) *manifest {
	why := source.Problem{
		File:    s.root,
		Message: "cannot be read, all objects stay as they were: " + reason(err),
		Fix:     "put it back; to remove objects, delete their files",
	}
	if errors.Is(err, fs.ErrNotExist) {
		clear(s.watched)
	}
	return failed(s.root, xxh3.Uint128{}, s.catalog.files[s.root], why)
}

func (s *Source) logUpdate(message string) {
	u := s.catalog.update()
	s.log.Info(message, "path", s.root, "files", len(s.catalog.files), "objects", len(s.catalog.good),
		"problems", len(u.Problems), "warnings", len(u.Warnings))
	for i, p := range u.Problems {
		if i == maxLogged {
			s.log.Warn("more problems in the manifests", "count", len(u.Problems)-i)
			break
		}
		s.log.Warn("manifest problem", "problem", p.Error())
	}
}

// maxLogged bounds the problems logged per change.
const maxLogged = 20

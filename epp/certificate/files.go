package certificate

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Names of the files in a folder, as a Kubernetes TLS Secret has them.
const (
	certificateFile = "tls.crt"
	keyFile         = "tls.key"
)

// lookEvery bounds how often the files are looked at, and so how long an old certificate is shown after they changed.
const lookEvery = time.Second

// Files is the certificate in a folder. A handshake looks whether the files have changed, so that nothing has to run
// beside the server. While they cannot be read together (one of them is still being written, or is broken) the certificate
// that was read last stays. Safe for concurrent use.
type Files struct {
	dir   string
	log   *slog.Logger
	every time.Duration

	mu      sync.Mutex
	current *tls.Certificate
	stamp   stamp
	looked  time.Time
	// trouble is what the log was told last, so that it is told once.
	trouble string
}

// stamp tells versions of the two files apart.
type stamp [2]os.FileInfo

func (s stamp) same(o stamp) bool {
	for i := range s {
		if !os.SameFile(s[i], o[i]) || !s[i].ModTime().Equal(o[i].ModTime()) || s[i].Size() != o[i].Size() {
			return false
		}
	}
	return true
}

// Load reads tls.crt and tls.key in dir.
func Load(dir string, log *slog.Logger) (*Files, error) {
	f := &Files{dir: dir, log: log, every: lookEvery, looked: time.Now()}
	at, err := f.stat()
	if err != nil {
		return nil, err
	}
	if f.current, err = f.read(); err != nil {
		return nil, err
	}
	f.stamp = at
	return f, nil
}

// Get is a Source: the newest certificate that could be read.
func (f *Files) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.looked) >= f.every {
		f.looked = now
		f.refresh()
	}
	return f.current, nil
}

// Fixed is a Source: the certificate as it was first read.
func (f *Files) Fixed() Source { return Always(f.current) }

func (f *Files) refresh() {
	at, err := f.stat()
	if err == nil && at.same(f.stamp) {
		f.trouble = ""
		return
	}
	var next *tls.Certificate
	if err == nil {
		next, err = f.read()
	}
	if err != nil {
		if f.trouble != err.Error() {
			f.trouble = err.Error()
			f.log.Warn("the changed certificate cannot be used; the one before goes on", "error", err)
		}
		return
	}
	f.current, f.stamp, f.trouble = next, at, ""
	f.log.Info("the certificate has changed", "path", f.dir)
}

func (f *Files) stat() (stamp, error) {
	var at stamp
	for i, name := range []string{certificateFile, keyFile} {
		info, err := os.Stat(filepath.Join(f.dir, name))
		if err != nil {
			return at, fmt.Errorf("%w; put %s and %s there", err, certificateFile, keyFile)
		}
		at[i] = info
	}
	return at, nil
}

func (f *Files) read() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(f.dir, certificateFile), filepath.Join(f.dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("reading %s and %s in %s: %w", certificateFile, keyFile, f.dir, err)
	}
	return &pair, nil
}

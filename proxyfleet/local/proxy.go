package local

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/switchyard/switchyard/proxyfleet"
)

const (
	// restartAfter is the first pause before a proxy that died is started again; it doubles up to
	// restartAtMost and starts over once a proxy has lived for restartAtMost.
	restartAfter  = 100 * time.Millisecond
	restartAtMost = 5 * time.Second
	// killAfter is how long a proxy may take to end after SIGTERM.
	killAfter = 5 * time.Second
)

// Proxy is one Envoy, started again as often as it dies.
type Proxy struct {
	Name string
	opts Options
	quit chan struct{} // closed: drain and end
	done chan struct{} // closed: the process has ended for good
	once sync.Once

	mu       sync.Mutex
	admin    netip.AddrPort
	pid      int
	restarts int
	lastErr  error
}

func newProxy(name string, opts Options) *Proxy {
	return &Proxy{Name: name, opts: opts, quit: make(chan struct{}), done: make(chan struct{})}
}

// PID is the process id of the running Envoy, 0 when it is not running.
func (p *Proxy) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid
}

// Restarts counts how often the process was started again.
func (p *Proxy) Restarts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.restarts
}

// ReadySocket is the Unix socket that answers readiness.
func (p *Proxy) ReadySocket() string { return filepath.Join(p.opts.Dir, p.Name+".ready") }

func (p *Proxy) adminPathFile() string { return filepath.Join(p.opts.Dir, p.Name+".admin") }

func (p *Proxy) stop() { p.once.Do(func() { close(p.quit) }) }

// supervise runs the process until stop. It keeps its thread: Linux kills the child when the thread that
// started it ends, which is how no Envoy outlives a control plane that was killed.
func (p *Proxy) supervise() {
	runtime.LockOSThread()
	defer close(p.done)
	pause := restartAfter
	for {
		started := time.Now()
		err := p.runOnce()
		select {
		case <-p.quit:
			return
		default:
		}
		if time.Since(started) > restartAtMost {
			pause = restartAfter
		}
		p.opts.Log.Warn("proxy ended by itself, starting it again", "proxy", p.Name, "error", err, "after", pause)
		p.mu.Lock()
		p.restarts++
		p.lastErr = err
		p.mu.Unlock()
		select {
		case <-p.quit:
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, restartAtMost)
	}
}

// runOnce starts the process and returns when it has ended: by itself, or drained after stop.
func (p *Proxy) runOnce() error {
	stderr, err := os.Create(p.errorFile())
	if err != nil {
		return fmt.Errorf("making the error log: %w", err)
	}
	defer stderr.Close()
	cmd, output, err := p.command(stderr)
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.opts.Envoy, err)
	}
	p.setRunning(cmd.Process.Pid)
	defer p.setRunning(0)

	var reader sync.WaitGroup
	reader.Go(func() { p.readLog(output) })
	var exitErr error
	exited := make(chan struct{})
	go func() {
		reader.Wait() // Wait closes the pipe: everything must be read before
		exitErr = cmd.Wait()
		close(exited)
	}()
	select {
	case <-exited:
		return fmt.Errorf("exited: %w%s", orClean(exitErr), p.errorTail())
	case <-p.quit:
	}
	p.drain(exited)
	return nil
}

func (p *Proxy) command(stderr *os.File) (*exec.Cmd, io.Reader, error) {
	for _, stale := range []string{p.adminPathFile(), p.ReadySocket()} {
		if err := os.Remove(stale); err != nil && !os.IsNotExist(err) {
			return nil, nil, fmt.Errorf("removing what an earlier run left: %w", err)
		}
	}
	bootstrap, err := proxyfleet.Bootstrap(proxyfleet.BootstrapOptions{
		Node: p.Name, View: p.opts.View, XDS: p.opts.XDS,
		Admin:       netip.MustParseAddrPort("127.0.0.1:0"),
		ReadySocket: p.ReadySocket(),
	})
	if err != nil {
		return nil, nil, err
	}
	config := filepath.Join(p.opts.Dir, p.Name+".json")
	if err := os.WriteFile(config, bootstrap, 0o600); err != nil {
		return nil, nil, fmt.Errorf("writing the bootstrap: %w", err)
	}
	cmd := exec.Command(p.opts.Envoy,
		"--config-path", config,
		"--admin-address-path", p.adminPathFile(),
		"--concurrency", strconv.Itoa(p.opts.Threads),
		"--disable-hot-restart",
		// Access log lines arrive soon after their request, not when a buffer is full.
		"--file-flush-interval-msec", "50",
		"--log-level", "warning",
		// Messages about API maturity and missing overload limits, at every start.
		"--component-log-level", "misc:error,main:error",
	)
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to the access log: %w", err)
	}
	return cmd, stdout, nil
}

func (p *Proxy) errorFile() string { return filepath.Join(p.opts.Dir, p.Name+".log") }

// errorTail gives the last lines that the process wrote before it ended.
func (p *Proxy) errorTail() string {
	b, err := os.ReadFile(p.errorFile())
	if err != nil || len(b) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return ": " + strings.Join(lines[max(0, len(lines)-2):], " | ")
}

func (p *Proxy) readLog(r io.Reader) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 64<<10), 1<<20)
	for scanner.Scan() {
		if p.opts.AccessLog != nil {
			p.opts.AccessLog(p.Name, scanner.Bytes())
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line beyond the bound must not stall the proxy
}

func (p *Proxy) setRunning(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid = pid
	p.admin = netip.AddrPort{}
}

// drain lets the open requests end, then ends the process.
func (p *Proxy) drain(exited <-chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), p.opts.DrainTimeout)
	defer cancel()
	if err := p.drainRequests(ctx, exited); err != nil {
		p.opts.Log.Warn("proxy ends before its requests did", "proxy", p.Name, "error", err)
	}
	pid := p.PID()
	_ = syscall.Kill(pid, syscall.SIGTERM) // an error means that it has ended already
	select {
	case <-exited:
	case <-time.After(killAfter):
		_ = syscall.Kill(pid, syscall.SIGKILL)
		<-exited
	}
}

// orClean names a clean exit, which is no error to exec but is one here.
func orClean(err error) error {
	if err == nil {
		return errCleanExit
	}
	return err
}

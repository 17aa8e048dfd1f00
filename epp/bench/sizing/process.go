package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one that is measured.
type process struct {
	cmd    *exec.Cmd
	said   bytes.Buffer
	exited chan struct{}
}

// start runs a program, which the caller stops. What it says is shown when it fails.
func start(program string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), exited: make(chan struct{})}
	p.cmd.Stderr = &p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is told where that matters
		close(p.exited)
	}()
	return p, nil
}

// stop ends the process at once: nothing of it is needed any more.
func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// alive is an error once the process has ended.
func (p *process) alive() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended: %s", p.cmd.Path, strings.TrimSpace(p.said.String()))
	default:
		return nil
	}
}

// ticksPerSecond is the unit of /proc/PID/stat, the same on every Linux.
const ticksPerSecond = 100

// cpu is the processor time that the process has had.
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading the processor time: %w", err)
	}
	// The name, in parentheses, may hold anything; user and system time are the 12th and 13th field behind it.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("reading the processor time: %d fields", len(fields))
	}
	var sum time.Duration
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the processor time: %w", err)
		}
		sum += time.Duration(ticks) * time.Second / ticksPerSecond
	}
	return sum, nil
}

// memory is what the process holds and has held at most, in bytes.
func (p *process) memory() (now, peak int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		into := map[string]*int64{"VmRSS": &now, "VmHWM": &peak}[name]
		if into == nil {
			continue
		}
		if _, err := fmt.Sscanf(value, "%d kB", into); err != nil {
			return 0, 0, fmt.Errorf("reading the memory: %w", err)
		}
		*into <<= 10
	}
	return now, peak, nil
}

// usage is what a process needed in a time.
type usage struct {
	mean, peak float64 // cores; the peak is that of its busiest second
}

// watch follows a process for a time.
func (p *process) watch(ctx context.Context, length time.Duration) (usage, error) {
	var out usage
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	first, err := p.cpu()
	if err != nil {
		return usage{}, err
	}
	began := time.Now()
	before, then := first, began
	for time.Since(began) < length {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return usage{}, ctx.Err()
		}
		now, err := p.cpu()
		if err != nil {
			return usage{}, err
		}
		at := time.Now()
		out.peak = max(out.peak, (now-before).Seconds()/at.Sub(then).Seconds())
		before, then = now, at
	}
	out.mean = (before - first).Seconds() / then.Sub(began).Seconds()
	return out, nil
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/switchyard/switchyard/epp/bench/wire"
)

// report is what a server process tells about itself.
type report struct {
	Address string
	// CPU is user and system time since the process began.
	CPU time.Duration
	// Resident is memory in bytes.
	Resident int64
}

// server is a server process and the connections to it.
type server struct {
	command *exec.Cmd
	ask     io.WriteCloser
	answers *json.Decoder
	conns   []*grpc.ClientConn
}

// startServer starts this binary again as a server. The environment is added to that of this process.
func startServer(kind, metricsPort string, environment ...string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.Command(self, "-serve", kind, "-metrics", metricsPort)
	command.Stderr = os.Stderr
	command.Env = append(os.Environ(), environment...)
	ask, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	answers, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	s := &server{command: command, ask: ask, answers: json.NewDecoder(bufio.NewReader(answers))}
	first, err := s.report(askCPU)
	if err != nil {
		s.stop()
		return nil, err
	}
	if s.conns, err = wire.Dial(first.Address, insecure.NewCredentials()); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// stop ends the process: its input ends, and with that it does.
func (s *server) stop() {
	for _, conn := range s.conns {
		_ = conn.Close()
	}
	_ = s.ask.Close()
	_ = s.command.Wait()
}

// What a server process is asked for.
const (
	askCPU = "cpu"
	// askMemory has it collect garbage first.
	askMemory = "memory"
)

func (s *server) report(what string) (report, error) {
	var answer report
	if _, err := fmt.Fprintln(s.ask, what); err != nil {
		return answer, err
	}
	err := s.answers.Decode(&answer)
	return answer, err
}

// measured is what one turn came to.
type measured struct {
	cpu    float64         // milliseconds per request
	waited []time.Duration // for the pick, of each request
}

func (s *server) measure(load workload, length time.Duration) (measured, error) {
	if load.streams > 0 {
		if err := s.warmUp(load, length/10); err != nil {
			return measured{}, err
		}
	}
	var cpu time.Duration
	var requests int64
	note := func(sign int64) func(int64) error {
		return func(done int64) error {
			now, err := s.report(askCPU)
			cpu += time.Duration(sign) * now.CPU
			requests += sign * done
			return err
		}
	}
	waited, err := drive(s.conns, &load, length, note(-1), note(+1))
	if err != nil {
		return measured{}, err
	}
	return measured{cpu: cpu.Seconds() * 1000 / float64(requests), waited: waited}, nil
}

func (s *server) warmUp(load workload, length time.Duration) error {
	ignore := func(int64) error { return nil }
	_, err := drive(s.conns, &load, length, ignore, ignore)
	return err
}

// measureOneCore has a picker on one core serve a workload with an open loop, and tells also how much of the core it needed.
func measureOneCore(metricsPort string, load workload, length time.Duration) (got measured, cores float64, err error) {
	s, err := startServer(picker, metricsPort, "GOMAXPROCS=1")
	if err != nil {
		return measured{}, 0, err
	}
	defer s.stop()
	if got, err = s.measure(load, length); err != nil {
		return measured{}, 0, err
	}
	return got, got.cpu / 1000 * float64(load.rate), nil
}

// measureMemory holds n requests in flight and returns resident bytes per request above what the process had before.
func measureMemory(kind, metricsPort string, n int) (float64, error) {
	s, err := startServer(kind, metricsPort)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	load := workload{bodies: prompts(10, 100, 1_000, 0.5), trailers: wire.Trailers(200, 10), streams: 8}
	if err := s.warmUp(load, 500*time.Millisecond); err != nil {
		return 0, err
	}
	before, err := s.report(askMemory)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for i := range n {
		stream, err := wire.Open(ctx, s.conns[i%len(s.conns)], poolKey)
		if err != nil {
			return 0, err
		}
		if err := wire.Exchange(stream, wire.Headers); err != nil {
			return 0, err
		}
		if err := wire.Exchange(stream, load.bodies[i%len(load.bodies)]); err != nil {
			return 0, err
		}
	}
	after, err := s.report(askMemory)
	if err != nil {
		return 0, err
	}
	return float64(after.Resident-before.Resident) / float64(n), nil
}

package stack

import (
	"context"
	"fmt"
	"net"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/switchyard/switchyard/internal/sim"
	"github.com/switchyard/switchyard/internal/source"
)

// Simulator is one simulated model server of a pod.
type Simulator struct {
	Pod     string // namespace/name
	Address string
	Model   string
	Server  *sim.Server
	serve   func(context.Context) error
}

// Serve answers until ctx is done.
func (s *Simulator) Serve(ctx context.Context) error { return s.serve(ctx) }

// OpenSimulators opens the listener of every container that runs the simulator, at its pod's address: what a
// kubelet would start. Pods that run anything else are real servers and are left alone.
func OpenSimulators(objects *source.Objects) ([]*Simulator, error) {
	var out []*Simulator
	for pod := range objects.Pods.All() {
		for i := range pod.Spec.Containers {
			c := &pod.Spec.Containers[i]
			if len(c.Args) == 0 || c.Args[0] != "sim" {
				continue
			}
			s, err := openSimulator(pod, c)
			if err != nil {
				return nil, fmt.Errorf("pod %s, container %s: %w", source.KeyOf(pod), c.Name, err)
			}
			out = append(out, s)
		}
	}
	return out, nil
}

func openSimulator(pod *corev1.Pod, c *corev1.Container) (*Simulator, error) {
	cfg, listen, err := sim.ParseArgs(c.Args)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(pod.Status.PodIP, "127.") {
		return nil, fmt.Errorf("status.podIP is %q; to be simulated on this machine it must be an address in 127.0.0.0/8", pod.Status.PodIP)
	}
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("reading the simulator's address: %w", err)
	}
	address := net.JoinHostPort(pod.Status.PodIP, port)
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for the simulator: %w", err)
	}
	cfg.Name = pod.Name
	server := sim.New(cfg)
	return &Simulator{
		Pod:     source.KeyOf(pod).String(),
		Address: address,
		Model:   cfg.Model,
		Server:  server,
		serve:   func(ctx context.Context) error { return server.Serve(ctx, l) },
	}, nil
}

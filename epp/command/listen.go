package command

import (
	"fmt"
	"net"
	"strconv"
)

// address is where to listen: a picker of a folder is for this machine unless told otherwise.
func (f *pickerFlags) address() string {
	if f.bind == "" && f.manifests != "" {
		return "127.0.0.1"
	}
	return f.bind
}

// listen opens the ports of ext_proc, health and metrics, all or none.
func (f *pickerFlags) listen() ([]net.Listener, error) {
	var out []net.Listener
	for _, p := range []struct {
		flag string
		port int
	}{{"grpc-port", f.grpcPort}, {"grpc-health-port", f.healthPort}, {"metrics-port", f.metricsPort}} {
		l, err := net.Listen("tcp", net.JoinHostPort(f.address(), strconv.Itoa(p.port)))
		if err != nil {
			closeAll(out)
			return nil, fmt.Errorf("--%s: %w", p.flag, err)
		}
		out = append(out, l)
	}
	return out, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

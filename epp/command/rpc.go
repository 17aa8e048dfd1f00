package command

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"google.golang.org/grpc"
)

// rpcFlags bound messages of gRPC and have streams counted.
type rpcFlags struct {
	receive, send string
	metrics       bool
}

func (r *rpcFlags) register(set *pflag.FlagSet) {
	set.StringVar(&r.receive, "grpc-max-recv-msg-size", "", "largest message from a proxy, such as 10MiB, 25MB or a number of bytes; default: 65MiB")
	set.StringVar(&r.send, "grpc-max-send-msg-size", "", "largest message to a proxy; default: unlimited")
	set.BoolVar(&r.metrics, "enable-grpc-stream-metrics", false, "count and time ext_proc streams")
}

func (r *rpcFlags) validate() error {
	_, err := r.options()
	return err
}

// options for the server of ext_proc.
func (r *rpcFlags) options() ([]grpc.ServerOption, error) {
	var out []grpc.ServerOption
	for _, flag := range []struct {
		name, text string
		option     func(int) grpc.ServerOption
	}{
		{"grpc-max-recv-msg-size", r.receive, grpc.MaxRecvMsgSize}, {"grpc-max-send-msg-size", r.send, grpc.MaxSendMsgSize},
	} {
		if flag.text == "" {
			continue
		}
		bytes, err := parseSize(flag.text)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", flag.name, err)
		}
		out = append(out, flag.option(bytes))
	}
	return out, nil
}

// sizeUnits are in the order in which suffixes are tried.
var sizeUnits = []struct {
	suffix string
	bytes  float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"k", 1e3}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"B", 1}, {"", 1},
}

// parseSize reads a number of bytes, with or without a unit.
func parseSize(text string) (int, error) {
	number := strings.TrimSpace(text)
	unit := 1.0
	for _, u := range sizeUnits {
		if cut, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = strings.TrimSpace(cut), u.bytes
			break
		}
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(value) || strings.ContainsAny(number, "eExXpPnNiI_") {
		return 0, fmt.Errorf("%q is not a size; give one such as 10MiB, 25MB or a number of bytes", text)
	}
	bytes := value * unit
	switch {
	case bytes < 0:
		return 0, fmt.Errorf("%q is below 0", text)
	case bytes > math.MaxInt32:
		return 0, fmt.Errorf("%q is more than the %d bytes that a message may have", text, math.MaxInt32)
	case bytes < 1:
		return 0, fmt.Errorf("%q is no room for any message", text)
	case bytes != math.Trunc(bytes):
		return 0, fmt.Errorf("%q is no whole number of bytes", text)
	}
	return int(bytes), nil
}

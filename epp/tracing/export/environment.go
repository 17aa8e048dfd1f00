package export

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Values of OTEL_TRACES_EXPORTER and of OTEL_EXPORTER_OTLP_PROTOCOL.
const (
	exporterOTLP    = "otlp"
	exporterConsole = "console"
	exporterNone    = "none"

	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

// defaultRatio is the share of the traces begun here that are recorded; those begun by clients are recorded as these say.
const defaultRatio = 0.1

// wanted is what the environment asks for; what the exporters read there by themselves (headers, certificates, time-outs,
// limits, queue sizes) is not in it.
type wanted struct {
	exporters []string
	protocol  string
	// plain is the address of a collector that was given without a scheme: such ones are spoken to without TLS.
	plain string
	// local is set when no address was given: the collector is on this machine, without TLS.
	local   bool
	sampler sdktrace.Sampler
}

func readEnvironment(log *slog.Logger) (wanted, error) {
	var w wanted
	address := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	w.local = address == "" && cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_INSECURE"), os.Getenv("OTEL_EXPORTER_OTLP_INSECURE")) == ""
	if address != "" && !strings.Contains(address, "://") {
		w.plain = address
	}
	var err error
	if w.exporters, err = readExporters(address != ""); err != nil || len(w.exporters) == 0 {
		return w, err
	}
	w.protocol = cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), protocolGRPC)
	if w.protocol != protocolGRPC && w.protocol != protocolHTTP {
		return w, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL: %q is not supported, use %s or %s", w.protocol, protocolGRPC, protocolHTTP)
	}
	w.sampler = readSampler(log)
	return w, nil
}

// readExporters are those to use, none when there are to be no traces.
func readExporters(addressed bool) ([]string, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	named := os.Getenv("OTEL_TRACES_EXPORTER")
	if named == "" && addressed {
		named = exporterOTLP
	}
	var exporters []string
	for name := range strings.SplitSeq(named, ",") {
		switch name = strings.TrimSpace(name); name {
		case "", exporterNone:
		case exporterOTLP, exporterConsole:
			if !slices.Contains(exporters, name) {
				exporters = append(exporters, name)
			}
		default:
			return nil, fmt.Errorf("OTEL_TRACES_EXPORTER: %q is not supported, use %s, %s or %s", name, exporterOTLP, exporterConsole, exporterNone)
		}
	}
	return exporters, nil
}

// readSampler is which traces are recorded. What cannot be used is as good as not given.
func readSampler(log *slog.Logger) sdktrace.Sampler {
	name := os.Getenv("OTEL_TRACES_SAMPLER")
	root, ofParent := strings.CutPrefix(name, "parentbased_")
	var sampler sdktrace.Sampler
	switch root {
	case "always_on":
		sampler = sdktrace.AlwaysSample()
	case "always_off":
		sampler = sdktrace.NeverSample()
	case "traceidratio":
		sampler = sdktrace.TraceIDRatioBased(readRatio(log))
	default:
		if name != "" {
			log.Warn("OTEL_TRACES_SAMPLER is not one that is known; it is parentbased_traceidratio then", "value", name)
		}
		sampler, ofParent = sdktrace.TraceIDRatioBased(readRatio(log)), true
	}
	if ofParent {
		return sdktrace.ParentBased(sampler)
	}
	return sampler
}

func readRatio(log *slog.Logger) float64 {
	text := os.Getenv("OTEL_TRACES_SAMPLER_ARG")
	if text == "" {
		return defaultRatio
	}
	ratio, err := strconv.ParseFloat(text, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) {
		log.Warn("OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1", "value", text, "instead", defaultRatio)
		return defaultRatio
	}
	return ratio
}

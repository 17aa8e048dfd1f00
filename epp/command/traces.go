package command

import (
	"log/slog"

	"github.com/switchyard/switchyard/epp/tracing/export"
)

// exportTraces begins to export traces if flags and environment ask for it. An environment that cannot be used is told of, and is no
// reason not to serve.
func (f *pickerFlags) exportTraces(version string, log *slog.Logger) *export.Export {
	if !f.tracing {
		return nil
	}
	started, err := export.Start(version, log)
	if err != nil {
		log.Error("there are no traces; correct the environment, or give --tracing=false", "error", err)
	}
	return started
}

package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/switchyard/switchyard/proxyfleet"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "controlplane",
		Short: "Control plane for LLM inference traffic",
		Long: `Switchyard reads Gateway API and InferencePool objects, configures a fleet of Envoy proxies over xDS and
picks, for each inference request, the model server that answers it.

Start with "controlplane run": it brings up everything on this machine.`,
		Version:       fmt.Sprintf("%s (commit %s, needs Envoy %s or newer)", version, commit, proxyfleet.MinEnvoy),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().CountP("verbose", "v", "say more on standard error; twice for debugging")
	root.AddCommand(newRun(), newSim(), newTranslate(), newStatus(), newDrain())
	root.AddCommand(production()...)
	return root
}

// newLog makes the log of a command: warnings only for commands that speak to a person, as quiet says.
func newLog(cmd *cobra.Command, quiet bool) *slog.Logger {
	verbose, err := cmd.Flags().GetCount("verbose")
	if err != nil {
		panic(err) // the flag is defined on the root
	}
	level := slog.LevelInfo
	if quiet {
		level = slog.LevelWarn
	}
	switch {
	case verbose >= 2:
		level = slog.LevelDebug
	case verbose == 1:
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
}

// manifestsFlag adds -f.
func manifestsFlag(cmd *cobra.Command, value *string, def string) {
	cmd.Flags().StringVarP(value, "filename", "f", def, "folder or file of Kubernetes manifests")
	_ = cmd.MarkFlagFilename("filename", "yaml", "yml", "json")
}

// printf writes to a person; a broken pipe there is not worth failing for.
func printf(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

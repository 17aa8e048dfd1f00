package command

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// Main is the picker as the whole program: it runs until SIGTERM or Ctrl-C, and drains; a second one of them ends it at once. What goes
// wrong is written to standard error, and the status is 1. It returns only when all went well.
func Main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	cmd := New(built())
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// built is what the Go compiler has noted of the program.
func built() Options {
	var options Options
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return options
	}
	options.Version = info.Main.Version
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			options.Commit = setting.Value
		}
	}
	return options
}

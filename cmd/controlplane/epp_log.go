package main

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// eppLogFlags are the logging flags of pickers elsewhere, so that their arguments work here.
type eppLogFlags struct {
	verbosity int
	encoder   string
	level     string
}

// debugVerbosity is the -v from which debug messages are shown: 2 is the default, 3 verbose, 4 debug, 5 trace.
const debugVerbosity = 4

func (l *eppLogFlags) register(f *pflag.FlagSet) {
	f.IntVarP(&l.verbosity, "v", "v", 2, "how much to log; 4 and above: debug messages")
	f.StringVar(&l.encoder, "zap-encoder", "console", "form of the log: json or console")
	f.StringVar(&l.level, "zap-log-level", "", "debug, info, error, panic or a number like that of -v; default: as -v says")
	// The root command's -v counts; here it takes a number, and its long form stays.
	f.CountP("verbose", "", "log debug messages when given twice")
}

// open makes the log.
func (l *eppLogFlags) open(cmd *cobra.Command) (*slog.Logger, error) {
	level, err := l.parseLevel()
	if err != nil {
		return nil, err
	}
	if verbose, err := cmd.Flags().GetCount("verbose"); err != nil {
		return nil, err
	} else if verbose >= 2 {
		level = slog.LevelDebug
	}
	options := &slog.HandlerOptions{Level: level}
	switch l.encoder {
	case "console":
		return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), options)), nil
	case "json":
		options.ReplaceAttr = likeZap
		return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), options)), nil
	}
	return nil, fmt.Errorf("--zap-encoder: %q must be json or console", l.encoder)
}

func (l *eppLogFlags) parseLevel() (slog.Level, error) {
	if l.verbosity < 0 {
		return 0, fmt.Errorf("-v: %d is below 0", l.verbosity)
	}
	switch l.level {
	case "":
		return levelOf(l.verbosity), nil
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "error", "panic":
		return slog.LevelError, nil
	}
	number, err := strconv.Atoi(l.level)
	if err != nil || number < 1 {
		return 0, fmt.Errorf("--zap-log-level: %q must be debug, info, error, panic or a number above 0", l.level)
	}
	return levelOf(number), nil
}

func levelOf(verbosity int) slog.Level {
	if verbosity >= debugVerbosity {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// likeZap names the time and writes the level as those who read such logs expect.
func likeZap(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		a.Key = "ts"
	case slog.LevelKey:
		return slog.String(slog.LevelKey, strings.ToLower(a.Value.String()))
	}
	return a
}

// directLibraryLogs sends what client-go and controller-runtime log to where the command logs. They have one log per
// process.
func directLibraryLogs(log *slog.Logger) {
	klog.SetSlogLogger(log)
	ctrllog.SetLogger(logr.FromSlogHandler(log.Handler()))
}

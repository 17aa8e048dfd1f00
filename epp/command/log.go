package command

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// logFlags are the logging flags of pickers elsewhere, so that their arguments work here.
type logFlags struct {
	verbosity  int
	encoder    string
	level      string
	stacktrace string
	time       string
	devel      bool
}

// timeFormats are the forms of the time in the log, by their names; the empty one is that of each encoder.
var timeFormats = map[string]func(time.Time) slog.Value{
	"":            nil,
	"epoch":       func(t time.Time) slog.Value { return slog.Float64Value(float64(t.UnixNano()) / 1e9) },
	"millis":      func(t time.Time) slog.Value { return slog.Float64Value(float64(t.UnixNano()) / 1e6) },
	"nano":        func(t time.Time) slog.Value { return slog.Int64Value(t.UnixNano()) },
	"iso8601":     func(t time.Time) slog.Value { return slog.StringValue(t.Format("2006-01-02T15:04:05.000Z0700")) },
	"rfc3339":     func(t time.Time) slog.Value { return slog.StringValue(t.Format(time.RFC3339)) },
	"rfc3339nano": func(t time.Time) slog.Value { return slog.StringValue(t.Format(time.RFC3339Nano)) },
}

// debugVerbosity is the -v from which debug messages are shown: 2 is the default, 3 verbose, 4 debug, 5 trace.
const debugVerbosity = 4

func (l *logFlags) register(f *pflag.FlagSet) {
	f.IntVarP(&l.verbosity, "v", "v", 2, "how much to log; 4 and above: debug messages")
	f.StringVar(&l.encoder, "zap-encoder", "console", "form of the log: json or console")
	f.StringVar(&l.level, "zap-log-level", "", "debug, info, error, panic or a number like that of -v; default: as -v says")
	f.StringVar(&l.time, "zap-time-encoding", "", "form of the time: epoch, millis, nano, iso8601, rfc3339 or rfc3339nano")
	f.StringVar(&l.stacktrace, "zap-stacktrace-level", "", "accepted for compatibility: info, error or panic; stacks are logged with panics only")
	f.BoolVar(&l.devel, "zap-devel", false, "for development: debug messages")
	// The root command's -v counts; here it takes a number, and its long form stays.
	f.CountP("verbose", "", "log debug messages when given twice")
}

// open makes the log.
func (l *logFlags) open(cmd *cobra.Command) (*slog.Logger, error) {
	level, err := l.parseLevel()
	if err != nil {
		return nil, err
	}
	if verbose, err := cmd.Flags().GetCount("verbose"); err != nil {
		return nil, err
	} else if verbose >= 2 {
		level = slog.LevelDebug
	}
	format, ok := timeFormats[l.time]
	if !ok {
		return nil, fmt.Errorf("--zap-time-encoding: %q must be epoch, millis, nano, iso8601, rfc3339 or rfc3339nano", l.time)
	}
	if !slices.Contains([]string{"", "info", "error", "panic"}, l.stacktrace) {
		return nil, fmt.Errorf("--zap-stacktrace-level: %q must be info, error or panic", l.stacktrace)
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: withTime(format, nil)}
	switch l.encoder {
	case "console":
		return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), options)), nil
	case "json":
		options.ReplaceAttr = withTime(format, likeZap)
		return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), options)), nil
	}
	return nil, fmt.Errorf("--zap-encoder: %q must be json or console", l.encoder)
}

func (l *logFlags) parseLevel() (slog.Level, error) {
	if l.verbosity < 0 {
		return 0, fmt.Errorf("-v: %d is below 0", l.verbosity)
	}
	switch l.level {
	case "":
		if l.devel {
			return slog.LevelDebug, nil
		}
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

// withTime writes times as format does, nil for as they are, before next, nil for none, has its say.
func withTime(format func(time.Time) slog.Value, next func([]string, slog.Attr) slog.Attr) func([]string, slog.Attr) slog.Attr {
	if format == nil {
		return next
	}
	return func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			a.Value = format(a.Value.Time())
		}
		if next == nil {
			return a
		}
		return next(groups, a)
	}
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

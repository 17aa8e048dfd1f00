package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// options are the command's flags.
type options struct {
	program, envoy, rows string
	seconds, limit       time.Duration
	write, again         bool
}

func main() {
	var o options
	flag.StringVar(&o.program, "program", "bin/controlplane", "the control plane's program, which make build builds")
	flag.StringVar(&o.envoy, "envoy", "", "Envoy; default: that of make tools, else that of the path")
	flag.StringVar(&o.rows, "rows", "", "measure only rows whose name this regular expression matches")
	flag.DurationVar(&o.seconds, "time", 20*time.Second, "how long each row is measured")
	flag.DurationVar(&o.limit, "limit", 45*time.Second, "how long the index is filled at most, and requests are brought into flight, before each row")
	flag.BoolVar(&o.write, "write", false, "write docs/sizing.json, the tables of docs/sizing.md and examples/values; needs all rows")
	flag.BoolVar(&o.again, "again", false, "measure nothing: take what docs/sizing.json says, as after a change of the rule or of a text")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "sizing:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.write && o.rows != "" {
		return errors.New("-write needs all rows: leave out -rows")
	}
	obtain := o.measure
	if o.again {
		obtain = func(context.Context) (results, error) { return readResults(".") }
	}
	got, err := obtain(ctx)
	if err != nil {
		return err
	}
	fmt.Println(got.markdown())
	if !o.write {
		return nil
	}
	return got.write(".")
}

// measure measures the rows that are asked for, one after the other.
func (o options) measure(ctx context.Context) (results, error) {
	only, err := regexp.Compile(o.rows)
	if err != nil {
		return results{}, fmt.Errorf("-rows: %w", err)
	}
	if _, err := os.Stat(o.program); err != nil {
		return results{}, fmt.Errorf("%w; run make build, from the project's root folder", err)
	}
	envoy, err := findEnvoy(o.envoy)
	if err != nil {
		return results{}, err
	}
	simulated, err := startServers()
	if err != nil {
		return results{}, err
	}
	defer simulated.stop()
	b := &bench{program: o.program, envoy: envoy, servers: simulated, seconds: o.seconds, limit: o.limit}
	out := results{Machine: thisMachine()}
	for _, r := range rows {
		if !only.MatchString(r.name()) {
			continue
		}
		got, err := b.try(ctx, r)
		if err != nil {
			return results{}, fmt.Errorf("%s: %w", r.name(), err)
		}
		out.Rows = append(out.Rows, got)
	}
	return out, nil
}

// mostPicked is the share of requests with a pick below which a row is measured again: a proxy that fails open spares the picker its work.
const mostPicked = .99

// try measures a row, and once more when that failed: a machine that was away for a moment must not cost all rows before.
func (b *bench) try(ctx context.Context, r row) (result, error) {
	began := time.Now()
	got, err := b.measure(ctx, r)
	if (err != nil || got.Picked < mostPicked && r.Kind != kindIdle) && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "%s: %v, %.0f %% of the requests picked for; once more\n", r.name(), err, 100*got.Picked)
		got, err = b.measure(ctx, r)
	}
	if err != nil {
		return result{}, err
	}
	fmt.Fprintf(os.Stderr, "%s: %.1f requests/s, %.2f cores, %.0f, %.0f, %.0f MiB before, after and at most, %d in flight, index %d; took %s\n", r.name(), got.Rate,
		got.MeanCores, mebi(got.IdleBytes), mebi(got.HeldBytes), mebi(got.PeakBytes), got.Flights, got.IndexEntries, time.Since(began).Round(time.Second))
	return got, nil
}

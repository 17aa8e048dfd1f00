// Package showcase is everything on one machine: simulated model servers for the pods that ask for them, the
// control plane, a fleet of real Envoys per Gateway, and a short burst of requests that shows that it works.
// Each part is the real one; this package only starts and stops them.
//
//	manifests -> simulators, stack, fleets -> burst -> table
package showcase

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/internal/source/file"
	"github.com/switchyard/switchyard/internal/stack"
	"github.com/switchyard/switchyard/proxyfleet/local"
	"github.com/switchyard/switchyard/translate"
	"github.com/switchyard/switchyard/translate/envoy"
	"github.com/switchyard/switchyard/translate/model"
)

// Options say what to bring up.
type Options struct {
	Manifests string
	Envoy     string // path of the binary
	Proxies   int    // per Gateway
	Admin     string // address of the admin page; port 0 lets the kernel choose
	Bind      string // address on which proxies open their listeners
	Dir       string // for bootstraps, sockets and logs of the proxies
	// PickerConfig is how the embedded picker chooses; nil for the default.
	PickerConfig *config.Config
	// Model is what the burst asks for; empty: the first that the gateway's /v1/models lists.
	Model string
	Out   io.Writer // what a person reads
	Log   *slog.Logger
}

// Showcase is everything, running.
type Showcase struct {
	Stack      *stack.Stack
	Simulators []*stack.Simulator
	Gateways   []*model.Gateway

	opts   Options
	listed string // the model that the servers name, when none was given
	access *accessLog
	fleets []*local.Fleet
	stop   context.CancelFunc // of the simulators
	sims   sync.WaitGroup
}

// startWithin bounds the time from the start of the proxies to the first configuration served.
const startWithin = 45 * time.Second

// Start brings everything up and returns when every proxy serves its whole configuration.
func Start(ctx context.Context, opts Options) (*Showcase, error) {
	update, err := file.Load(opts.Manifests)
	if err != nil {
		return nil, err
	}
	for _, p := range update.Problems {
		fmt.Fprintln(opts.Out, "error:", p.Error())
	}
	sims, err := stack.OpenSimulators(update.Objects)
	if err != nil {
		return nil, err
	}
	s := &Showcase{opts: opts, Simulators: sims, access: newAccessLog()}
	simCtx, stop := context.WithCancel(context.Background())
	s.stop = stop
	for _, sim := range sims {
		s.sims.Go(func() {
			if err := sim.Serve(simCtx); err != nil {
				opts.Log.Error("a simulated model server ended", "pod", sim.Pod, "error", err)
			}
		})
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Showcase) start(ctx context.Context) error {
	var err error
	if s.Stack, err = stack.Start(stack.Options{
		Source:       file.New(s.opts.Manifests, s.opts.Log),
		XDS:          "127.0.0.1:0",
		Picker:       "127.0.0.1:0",
		Admin:        s.opts.Admin,
		PickerConfig: s.opts.PickerConfig,
		Translate:    translate.Options{Envoy: envoy.Options{BindAddress: s.opts.Bind}},
		Drain:        time.Second, // the proxies have drained before
		Log:          s.opts.Log,
	}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	result, err := s.Stack.WaitResult(ctx)
	if err != nil {
		return err
	}
	s.Gateways = result.Output.Gateways
	if len(s.Gateways) == 0 {
		return fmt.Errorf("no Gateway in %s is ours to serve; `controlplane status -f %s` says why", s.opts.Manifests, s.opts.Manifests)
	}
	s.say("%s: %d Gateway(s), %d simulated model server(s)", s.opts.Manifests, len(s.Gateways), len(s.Simulators))
	return s.startFleets(ctx)
}

func (s *Showcase) startFleets(ctx context.Context) error {
	began := time.Now()
	for _, gw := range s.Gateways {
		fleet, err := local.New(local.Options{
			Envoy:     s.opts.Envoy,
			View:      gw.Key.String(),
			XDS:       s.Stack.XDSAddr,
			Dir:       filepath.Join(s.opts.Dir, gw.Key.Namespace+"_"+gw.Key.Name),
			AccessLog: s.access.write,
			Log:       s.opts.Log,
		})
		if err != nil {
			return err
		}
		s.fleets = append(s.fleets, fleet)
		for range s.opts.Proxies {
			if _, err := fleet.Add(); err != nil {
				return err
			}
		}
	}
	for _, fleet := range s.fleets {
		if err := fleet.WaitReady(ctx); err != nil {
			return fmt.Errorf("the proxies did not become ready: %w", err)
		}
	}
	s.say("%d Envoy(s) of each fleet ready after %.1f s", s.opts.Proxies, time.Since(began).Seconds())
	return nil
}

func (s *Showcase) say(format string, args ...any) {
	fmt.Fprintf(s.opts.Out, format+"\n", args...)
}

// Failed is closed when a part of the control plane ended by itself.
func (s *Showcase) Failed() <-chan struct{} { return s.Stack.Failed() }

// Stop ends everything and waits for it: the proxies drain first, then the control plane, then the model
// servers. No process is left.
func (s *Showcase) Stop() error {
	var wg sync.WaitGroup
	for _, fleet := range s.fleets {
		wg.Go(fleet.Stop)
	}
	wg.Wait()
	var err error
	if s.Stack != nil {
		err = s.Stack.Stop()
	}
	s.stop()
	s.sims.Wait()
	return err
}

// proxyNames lists the proxies of the first fleet.
func (s *Showcase) proxyNames() []string {
	var out []string
	for _, p := range s.fleets[0].Proxies() {
		out = append(out, p.Name)
	}
	return out
}

// Summary tells a person what to try.
func (s *Showcase) Summary() {
	if t, err := s.target(); err == nil {
		s.say("\nTry it:\n\n  %s\n", t.curl(s.modelOr("MODEL")))
	}
	s.say("Admin      http://%s/debug/xds  /debug/epp  /metrics", s.Stack.AdminAddr)
	for _, fleet := range s.fleets {
		for _, p := range fleet.Proxies() {
			if admin, err := p.Admin(); err == nil {
				s.say("%-10s http://%s  (Envoy's own admin page, pid %d)", p.Name, admin, p.PID())
			}
		}
	}
	s.say("Manifests  %s  (edit them: changes take effect at once)", s.opts.Manifests)
	s.say("Logs       %s", s.opts.Dir)
}

func (s *Showcase) modelOr(otherwise string) string {
	if s.opts.Model != "" {
		return s.opts.Model
	}
	if len(s.Simulators) > 0 {
		return s.Simulators[0].Model
	}
	return cmp.Or(s.listed, otherwise)
}

// WorkDir makes a folder for a run and gives the function that removes it.
func WorkDir() (string, func(), error) {
	// Unix sockets live in it, and their paths may not be longer than 107 bytes.
	dir, err := os.MkdirTemp("", "switchyard-")
	if err != nil {
		return "", nil, fmt.Errorf("making a work folder: %w", err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}

// sortedHosts orders hosts so that a concrete one comes before a wildcard.
func sortedHosts(hosts []model.Host) []model.Host {
	out := slices.Clone(hosts)
	slices.SortStableFunc(out, func(a, b model.Host) int {
		return strings.Count(a.Name, "*") - strings.Count(b.Name, "*")
	})
	return out
}

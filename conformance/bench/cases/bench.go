// Package cases runs the measurements in their order, on one stage.
//
// The routes of the population are put up first and stay while the other cases run, so that these meet a control plane that has
// something to carry. A case that fails does not stop the others; whatever happens, the stage is cleared.
//
//	Bench -> stage, probe, writes, usage -> results.Results
package cases

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/switchyard/switchyard/conformance/bench/results"
	"github.com/switchyard/switchyard/conformance/bench/stage"
	"github.com/switchyard/switchyard/conformance/bench/usage"
)

// Names of the cases, in the order in which they run. The tear-down of AttachedCase comes last.
const (
	AttachedCase    = "attached"
	RestCase        = "rest"
	PropagationCase = "propagation"
	FlipsCase       = "flips"
)

// All cases.
func All() []string { return []string{AttachedCase, RestCase, PropagationCase, FlipsCase} }

// Bench is one run. All fields have to be filled in; see the flags of the program for what they mean.
type Bench struct {
	Stage *stage.Stage
	Meter usage.Meter
	Log   *slog.Logger
	Only  []string

	// Address replaces the one in the Gateway's status.
	Address        string
	Routes         int
	RequestTimeout time.Duration
	// Quiet is how long no status may be written before counting ends, and before the time of rest begins.
	Quiet time.Duration

	ControlPlane, DataPlane []usage.Selector
	RestFor                 time.Duration

	Propagation Propagation
	Flips       Flips
	// CleanUp bounds the clearing of the stage.
	CleanUp time.Duration
}

// Propagation says how new routes are probed.
type Propagation struct {
	Routes      int
	Every       time.Duration
	Consecutive int
	Limit       time.Duration
}

// Flips says how a route alternates.
type Flips struct {
	Count       int
	Connections int
	// Every is the time from the acknowledgement of one change to the next change; answers may be old for Bound of it.
	Every, Bound time.Duration
	// Churn is the time between two scalings of the backend; 0 leaves it alone.
	Churn time.Duration
}

// wants nothing any more after the end of the context.
func (b *Bench) wants(ctx context.Context, name string) bool {
	return ctx.Err() == nil && slices.Contains(b.Only, name)
}

// Run measures. The results hold what was measured and what failed; the error is for a stage that could not be set or cleared, and for
// a cancelled context.
func (b *Bench) Run(ctx context.Context, r *results.Results) (err error) {
	if r.Controller, err = b.Stage.Controller(ctx); err != nil {
		return err
	}
	if err := b.Stage.Raise(ctx); err != nil {
		return err
	}
	defer func() {
		// The context may have been cancelled by a signal; the clearing must not be.
		clearing, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.CleanUp)
		defer cancel()
		err = errors.Join(err, b.Stage.Raze(clearing))
	}()
	address, err := b.set(ctx)
	if err != nil {
		return err
	}
	b.measure(ctx, address, r)
	return context.Cause(ctx)
}

// set puts up everything but the routes.
func (b *Bench) set(ctx context.Context) (string, error) {
	address, err := b.Stage.MakeGateway(ctx, b.Address)
	if err != nil {
		return "", err
	}
	if b.wants(ctx, PropagationCase) || b.wants(ctx, FlipsCase) {
		if err := b.Stage.MakeBackend(ctx); err != nil {
			return "", err
		}
	}
	return address, b.Stage.MakePopulation(ctx, b.Routes)
}

func (b *Bench) measure(ctx context.Context, address string, r *results.Results) {
	fail := func(name string, err error) {
		if err != nil {
			b.Log.Error("case failed", "case", name, "error", err)
			r.Errors = append(r.Errors, fmt.Sprintf("%s: %v", name, err))
		}
	}
	proxies, err := usage.Pods(ctx, b.Stage.Client, b.DataPlane)
	fail("proxies", err)
	r.Proxies = len(proxies)

	// The set-up is the population of all other cases, so it is always there, and always measured.
	r.Attached, err = b.setUp(ctx)
	fail(AttachedCase, err)
	if b.wants(ctx, RestCase) {
		r.Rest, err = b.rest(ctx)
		fail(RestCase, err)
	}
	if b.wants(ctx, PropagationCase) {
		r.Propagation, err = b.propagate(ctx, address, len(proxies))
		fail(PropagationCase, err)
	}
	if b.wants(ctx, FlipsCase) {
		r.Flips, err = b.flip(ctx, address)
		fail(FlipsCase, err)
	}
	if b.wants(ctx, AttachedCase) && r.Attached != nil {
		r.Attached.Teardown, err = b.tearDown(ctx)
		fail(AttachedCase, err)
	}
	r.Versions.Images = b.images(ctx, proxies)
}

// images of all measured pods: they say which version of the implementation this was.
func (b *Bench) images(ctx context.Context, proxies []corev1.Pod) []string {
	pods, err := usage.Pods(ctx, b.Stage.Client, b.ControlPlane)
	if err != nil {
		b.Log.Warn("images are not reported", "error", err)
	}
	var images []string
	for _, pod := range append(pods, proxies...) {
		for _, c := range usage.Containers(&pod) {
			images = append(images, c.Image)
		}
	}
	slices.Sort(images)
	return slices.Compact(images)
}

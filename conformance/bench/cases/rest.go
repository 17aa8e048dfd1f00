package cases

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard/switchyard/conformance/bench/results"
	"github.com/switchyard/switchyard/conformance/bench/usage"
)

// rest lets nothing happen for a while. Both readings wait for a sample that is not older than they are, so the measured span is at
// least as long as asked for, and holds nothing of the work before it.
func (b *Bench) rest(ctx context.Context) (*results.Rest, error) {
	if err := pause(ctx, b.Quiet); err != nil {
		return nil, err
	}
	b.Log.Info("rest", "routes", b.Routes, "for", b.RestFor)
	before, err := b.read(ctx)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, b.RestFor); err != nil {
		return nil, err
	}
	after, err := b.read(ctx)
	if err != nil {
		return nil, err
	}
	rest := &results.Rest{InPlace: b.Routes}
	rest.ControlPlane, err = used(before[0], after[0])
	var dataErr error
	rest.DataPlane, dataErr = used(before[1], after[1])
	return rest, errors.Join(err, dataErr)
}

// plane is a group of pods, or none.
type plane struct {
	pods usage.Reading
	none bool
}

// read samples the control plane's pods, then the proxies'.
func (b *Bench) read(ctx context.Context) ([]plane, error) {
	var readings []plane
	for _, selectors := range [][]usage.Selector{b.ControlPlane, b.DataPlane} {
		pods, err := usage.Pods(ctx, b.Stage.Client, selectors)
		if err != nil {
			return nil, err
		}
		if len(pods) == 0 {
			readings = append(readings, plane{none: true})
			continue
		}
		reading, err := b.Meter.Read(ctx, pods)
		if err != nil {
			return nil, err
		}
		readings = append(readings, plane{pods: reading})
	}
	return readings, nil
}

func used(before, after plane) (*usage.Total, error) {
	if before.none || after.none {
		return nil, nil
	}
	total, err := usage.Between(before.pods, after.pods)
	if err != nil {
		return nil, fmt.Errorf("at rest: %w", err)
	}
	return &total, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

package cluster

import (
	"context"
	"log/slog"
	"sync"

	"k8s.io/client-go/rest"

	"github.com/switchyard/switchyard/internal/lease"
	"github.com/switchyard/switchyard/internal/source"
)

// election is who runs for which lease, and how patiently. While nobody leads, statuses and fleets stand still, and
// nothing else does.
type election struct {
	config   *rest.Config
	lease    source.Key
	identity string
	timing   lease.Timing
	log      *slog.Logger
}

func newElection(o Options) *election {
	return &election{config: o.Config, lease: o.Service, identity: o.Identity, timing: lease.DefaultTiming, log: o.Log}
}

// lead runs work whenever this replica holds the lease, until ctx is done. work must return soon after its
// context ends; an error of it ends lead.
func (e *election) lead(ctx context.Context, work func(context.Context) error) error {
	failed := make(chan error, 1)
	var working sync.Mutex // held while work runs: a lease lost and won again must not start it twice
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	held, err := lease.New(lease.Options{
		Config: e.config, Namespace: e.lease.Namespace, Name: e.lease.Name, Replica: e.identity, Timing: e.timing,
		Won: func(leading context.Context) {
			working.Lock()
			defer working.Unlock()
			if leading.Err() != nil {
				return
			}
			e.log.Info("leading: statuses and fleets are this replica's work", "lease", e.lease)
			if err := work(leading); err != nil {
				failed <- err
				cancel()
			}
		},
		Lost:   func() { e.log.Info("not leading", "lease", e.lease) },
		Leader: func(name string) { e.log.Info("the leader is", "replica", name) },
	})
	if err != nil {
		return err
	}
	held.Run(ctx)
	working.Lock()
	defer working.Unlock()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/switchyard/switchyard/internal/source"
)

// election is who runs for which lease, and how patiently.
type election struct {
	leases   coordinationv1.LeasesGetter
	lease    source.Key
	identity string
	log      *slog.Logger
	// A leader that dies is replaced after duration; one that cannot renew gives up after deadline. Until then
	// statuses and fleets stand still, and nothing else does.
	duration, deadline, retry time.Duration
}

func newElection(o Options) (*election, error) {
	leases, err := coordinationv1.NewForConfig(o.Config)
	if err != nil {
		return nil, fmt.Errorf("reaching the API server for the lease %s: %w", o.Service, err)
	}
	return &election{
		leases: leases, lease: o.Service, identity: o.Identity, log: o.Log,
		duration: 15 * time.Second, deadline: 10 * time.Second, retry: 2 * time.Second,
	}, nil
}

// lead runs work whenever this replica holds the lease, until ctx is done. work must return soon after its
// context ends; an error of it ends lead.
func (e *election) lead(ctx context.Context, work func(context.Context) error) error {
	failed := make(chan error, 1)
	var working sync.Mutex // held while work runs: a lease lost and won again must not start it twice
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: e.lease.Namespace, Name: e.lease.Name},
			Client:     e.leases,
			LockConfig: resourcelock.ResourceLockConfig{Identity: e.identity},
		},
		LeaseDuration:   e.duration,
		RenewDeadline:   e.deadline,
		RetryPeriod:     e.retry,
		ReleaseOnCancel: true,
		Name:            e.lease.Name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
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
			OnStoppedLeading: func() { e.log.Info("not leading", "lease", e.lease) },
			OnNewLeader:      func(name string) { e.log.Info("the leader is", "replica", name) },
		},
	})
	if err != nil {
		return fmt.Errorf("preparing the lease %s: %w", e.lease, err)
	}
	for ctx.Err() == nil {
		elector.Run(ctx) // returns when ctx is done or the lease is lost
	}
	working.Lock()
	defer working.Unlock()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/switchyard/switchyard/internal/source"
)

// Timing of the lease. A leader that dies is replaced within leaseDuration; until then statuses and fleets
// stand still, and nothing else does.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// lead runs work whenever this replica holds the lease, until ctx is done. work must return soon after its
// context ends; an error of it ends lead.
func lead(ctx context.Context, config *rest.Config, lease source.Key, identity string, log *slog.Logger, work func(context.Context) error) error {
	leases, err := coordinationv1.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("reaching the API server for the lease %s: %w", lease, err)
	}
	failed := make(chan error, 1)
	var working sync.Mutex // held while work runs: a lease lost and won again must not start it twice
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: lease.Namespace, Name: lease.Name},
			Client:     leases,
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		LeaseDuration:   leaseDuration,
		RenewDeadline:   renewDeadline,
		RetryPeriod:     retryPeriod,
		ReleaseOnCancel: true,
		Name:            lease.Name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				working.Lock()
				defer working.Unlock()
				if leading.Err() != nil {
					return
				}
				log.Info("leading: statuses and fleets are this replica's work", "lease", lease)
				if err := work(leading); err != nil {
					failed <- err
					cancel()
				}
			},
			OnStoppedLeading: func() { log.Info("not leading", "lease", lease) },
			OnNewLeader:      func(name string) { log.Info("the leader is", "replica", name) },
		},
	})
	if err != nil {
		return fmt.Errorf("preparing the lease %s: %w", lease, err)
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

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// leaseTiming is how long a leader that died is waited for, and how often the lease is renewed.
type leaseTiming struct{ duration, renew, retry time.Duration }

var defaultLeaseTiming = leaseTiming{15 * time.Second, 10 * time.Second, 2 * time.Second}

// lease is the right to be the ready one among the replicas of a picker.
type lease struct {
	elector *leaderelection.LeaderElector
	changed func() // called after held has changed

	mu   sync.Mutex // orders changes of held: the elector tells of the beginning from a goroutine of its own
	held atomic.Bool
}

// leaseName is the name of the Lease of the replicas that pick for one pool.
func leaseName(namespace, pool string) string { return "epp-" + namespace + "-" + pool + ".llm-d.ai" }

// replicaName tells replicas apart.
func replicaName() (string, error) {
	if name := os.Getenv("POD_NAME"); name != "" {
		return name, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("finding a name for this replica: %w; set POD_NAME", err)
	}
	// Two may run on one machine.
	return name + "_" + rand.Text(), nil
}

func newLease(config *rest.Config, namespace, name, replica string, timing leaseTiming, log *slog.Logger) (*lease, error) {
	client, err := coordinationv1.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reaching the API server for the Lease %s/%s: %w", namespace, name, err)
	}
	l := &lease{changed: func() {}}
	l.elector, err = leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: name,
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: name},
			Client:     client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: replica},
		},
		LeaseDuration: timing.duration, RenewDeadline: timing.renew, RetryPeriod: timing.retry,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				log.Info("leading: ready for requests", "lease", name)
				l.set(ctx, true)
			},
			OnStoppedLeading: func() { l.set(context.Background(), false) },
			OnNewLeader: func(leader string) {
				if leader != replica {
					log.Info("following: another replica is ready for requests, this one keeps up", "lease", name, "leader", leader)
				}
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the Lease %s/%s: %w", namespace, name, err)
	}
	return l, nil
}

// set notes whether the lease is held, unless the time for that is over.
func (l *lease) set(during context.Context, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if during.Err() == nil && l.held.Swap(held) != held {
		l.changed()
	}
}

// run tries to hold the lease until ctx ends, and then gives it up.
func (l *lease) run(ctx context.Context) {
	for ctx.Err() == nil {
		l.elector.Run(ctx) // returns when ctx is done or the lease is lost
	}
}

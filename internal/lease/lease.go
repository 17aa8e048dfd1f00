// Package lease lets one of several replicas hold a Kubernetes Lease at a time, again and again until it is told to stop. It only says who
// holds it; what that means is its caller's.
//
//	Lease object <-> Run -> Won, Lost, Leader of the Options
package lease

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Timing is how long a holder that died is waited for, how long one goes on that cannot renew, and how often both try.
type Timing struct{ Duration, Renew, Retry time.Duration }

// DefaultTiming replaces a holder that died after 15 s.
var DefaultTiming = Timing{15 * time.Second, 10 * time.Second, 2 * time.Second}

// Options of a Lease. All but Timing (zero: DefaultTiming) and Leader are required.
type Options struct {
	Config          *rest.Config
	Namespace, Name string
	// Replica tells the replicas apart.
	Replica string
	Timing  Timing
	// Won is called, in a goroutine of its own, when the lease was won; its context ends when it is lost. Lost is called after that,
	// and once more at the end for a replica that did not hold it. Leader is told who holds it, whenever that is another one than before.
	Won    func(context.Context)
	Lost   func()
	Leader func(replica string)
}

// Lease is the right to be the one among the replicas.
type Lease struct{ elector *leaderelection.LeaderElector }

// New makes a lease; nothing happens before Run.
func New(o Options) (*Lease, error) {
	client, err := coordinationv1.NewForConfig(o.Config)
	if err != nil {
		return nil, fmt.Errorf("reaching the API server for the Lease %s/%s: %w", o.Namespace, o.Name, err)
	}
	if o.Timing == (Timing{}) {
		o.Timing = DefaultTiming
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: o.Name,
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name},
			Client:     client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: o.Replica},
		},
		LeaseDuration: o.Timing.Duration, RenewDeadline: o.Timing.Renew, RetryPeriod: o.Timing.Retry,
		ReleaseOnCancel: true,
		Callbacks:       leaderelection.LeaderCallbacks{OnStartedLeading: o.Won, OnStoppedLeading: o.Lost, OnNewLeader: o.Leader},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the Lease %s/%s: %w", o.Namespace, o.Name, err)
	}
	return &Lease{elector: elector}, nil
}

// Run tries to hold the lease until ctx ends, and then gives it up.
func (l *Lease) Run(ctx context.Context) {
	for ctx.Err() == nil {
		l.elector.Run(ctx) // returns when ctx is done or the lease is lost
	}
}

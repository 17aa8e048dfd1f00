package command

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"k8s.io/client-go/rest"

	"github.com/switchyard/switchyard/internal/lease"
)

// leadership is the right to be the ready one among the replicas of a picker.
type leadership struct {
	lease   *lease.Lease
	changed func() // called after held has changed

	mu     sync.Mutex // orders changes of held: the lease tells of the beginning from a goroutine of its own
	held   atomic.Bool
	turned chan struct{} // closed and replaced when held has changed
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

func newLeadership(config *rest.Config, namespace, name, replica string, timing lease.Timing, log *slog.Logger) (*leadership, error) {
	l := &leadership{changed: func() {}, turned: make(chan struct{})}
	var err error
	l.lease, err = lease.New(lease.Options{
		Config: config, Namespace: namespace, Name: name, Replica: replica, Timing: timing,
		Won: func(ctx context.Context) {
			log.Info("leading: ready for requests", "lease", name)
			l.set(ctx, true)
		},
		Lost: func() { l.set(context.Background(), false) },
		Leader: func(leader string) {
			if leader != replica {
				log.Info("following: another replica is ready for requests, this one keeps up", "lease", name, "leader", leader)
			}
		},
	})
	return l, err
}

// set notes whether the lease is held, unless the time for that is over.
func (l *leadership) set(during context.Context, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if during.Err() == nil && l.held.Swap(held) != held {
		close(l.turned)
		l.turned = make(chan struct{})
		l.changed()
	}
}

// state tells whether the lease is held, and of when that changes.
func (l *leadership) state() (held bool, turned <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held.Load(), l.turned
}

// whileHeld does work each time that the lease is held, as long as it is, until ctx ends or it fails. Without a lease, nil, it is
// always held.
func (l *leadership) whileHeld(ctx context.Context, work func(context.Context) error) error {
	if l == nil {
		return work(ctx)
	}
	for ctx.Err() == nil {
		held, turned := l.state()
		during, end := context.WithCancel(ctx)
		go func() {
			select {
			case <-during.Done():
			case <-turned:
				end()
			}
		}()
		var err error
		if held {
			err = work(during)
		} else {
			<-during.Done()
		}
		end()
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pickerProcess) newLease() (*leadership, error) {
	replica, err := replicaName()
	if err != nil {
		return nil, err
	}
	namespace := p.flags.pool.inNamespace()
	return newLeadership(p.cluster, namespace, leaseName(namespace, p.flags.pool.named()), replica, lease.DefaultTiming, p.log)
}

// startLease tries to lead. end gives the lease up and returns when that is done.
func (p *pickerProcess) startLease(ctx context.Context) (end func()) {
	if p.lease == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.lease.lease.Run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

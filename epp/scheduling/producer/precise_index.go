package producer

import (
	"context"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/kvindex"
)

// sharedStore is an index that several replicas keep in a database, from which Run reads and to which it writes.
type sharedStore interface {
	kvindex.Shared
	Run(context.Context)
	Shown() any // for pages that people look at
	Collectors() []prometheus.Collector
}

// newIndex makes the index of the kind that the parameters ask for.
func (s *servers) newIndex(hasher *kvindex.Hasher, metrics *kvindex.Metrics) (err error) {
	o := kvindex.Options{Hasher: hasher, Tiers: s.settings.listed(), Capacity: s.settings.capacity, Bytes: s.settings.bytes, Metrics: metrics}
	if s.settings.shared != "" {
		if s.shared, err = s.settings.newShared(hasher, metrics); err != nil {
			return err
		}
		o.Shared = s.shared
	}
	s.index = kvindex.New(o)
	return nil
}

// sharedNames are those that a server may have in a database of several replicas: its address, as all write it, and what the
// topics of events may call it.
func sharedNames(e *datalayer.Endpoint) []string {
	names := []string{e.Address}
	if host, _, err := net.SplitHostPort(e.Address); err == nil {
		names = append(names, host)
	}
	if e.Pod != "" {
		names = append(names, e.Pod, e.Namespace+"/"+e.Pod)
	}
	return names
}

// runShared has the database be read and written until stop, which waits for the end.
func (s *servers) runShared() (stop func()) {
	if s.shared == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.shared.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

package epp

import (
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

// streams is the ext_proc service that proxies see. Behind it stands the service of one configuration, which may be replaced
// at any time: a stream keeps the one that it began with.
type streams struct {
	current atomic.Pointer[generation]
	open    atomic.Int64
	opened  atomic.Int64
	metrics *streamMetrics // nil: not asked for
}

// register adds the service to a server. Every generation has the same one stream.
func (s *streams) register(registrar grpc.ServiceRegistrar) {
	desc := *s.current.Load().desc
	stream := desc.Streams[0]
	stream.Handler = func(_ any, stream grpc.ServerStream) error { return s.serve(stream) }
	desc.Streams = []grpc.StreamDesc{stream}
	registrar.RegisterService(&desc, s)
}

func (s *streams) serve(stream grpc.ServerStream) (err error) {
	s.opened.Add(1)
	s.open.Add(1)
	defer s.open.Add(-1)
	if s.metrics != nil {
		began := time.Now()
		s.metrics.begin()
		defer func() { s.metrics.end(began, err) }()
	}
	g := s.current.Load()
	return g.desc.Streams[0].Handler(g.server, stream)
}

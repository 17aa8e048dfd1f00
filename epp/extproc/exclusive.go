package extproc

import (
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/switchyard/switchyard/epp/director"
)

// exclusive is a stream that two may send on: who serves the request, and who takes it back. Nothing is sent behind the answer that
// takes it back.
type exclusive struct {
	grpc.ServerStream
	mu    sync.Mutex
	taken *director.Refusal
	over  bool
}

var errTaken = status.Error(codes.Aborted, "the request was taken back")

// SendMsg implements grpc.ServerStream.
func (s *exclusive) SendMsg(message any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken != nil {
		return errTaken
	}
	return s.ServerStream.SendMsg(message)
}

// takeBack ends the request with an answer. The proxy closes the stream then; what the request held is released with that.
func (s *exclusive) takeBack(no *director.Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == nil && !s.over {
		s.taken = no
		_ = s.ServerStream.SendMsg(refusalAnswer(no))
	}
}

// end gives the answer that ended the request before it was served in full, nil when none did. None does from then on: the stream is over.
func (s *exclusive) end() *director.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	return s.taken
}

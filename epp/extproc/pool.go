package extproc

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/switchyard/switchyard/epp/director"
)

// Initial metadata of a stream.
const (
	poolKey     = "x-switchyard-pool"
	protocolKey = "x-switchyard-protocol"
	lean        = "lean"
	// bodyKey tells how the proxy sends the request's body, by the name of ext_proc's mode.
	bodyKey = "x-switchyard-body"
	// answerKey has the value onRequest where the proxy shows answers, whole, for a request that the picker asks it to.
	answerKey = "x-switchyard-answer"
	onRequest = "on-request"
)

// poolOf finds the pool that a stream is for.
func (s *Service) poolOf(ctx context.Context) (*director.Pool, error) {
	if named := metadata.ValueFromIncomingContext(ctx, poolKey); len(named) > 0 {
		return s.poolNamed(named[len(named)-1])
	}
	if s.options.DefaultPool != "" {
		return s.poolNamed(s.options.DefaultPool)
	}
	pool, known := s.options.Director.OnlyPool()
	if pool == nil {
		return nil, status.Errorf(codes.FailedPrecondition,
			"which pool is meant? %d are known: send initial metadata %s: <namespace>/<name>, or start the picker with a default pool",
			known, poolKey)
	}
	return pool, nil
}

func (s *Service) poolNamed(key string) (*director.Pool, error) {
	pool, ok := s.options.Director.Pool(key)
	if !ok {
		return nil, status.Errorf(codes.NotFound, "pool %q is not known to this picker", key)
	}
	return pool, nil
}

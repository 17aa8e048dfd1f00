package extproc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/director"
)

// ServiceName is the gRPC service, which is also its name for health checks.
const ServiceName = "envoy.service.ext_proc.v3.ExternalProcessor"

// DefaultMaxBody bounds a request body, in bytes.
const DefaultMaxBody = 64 << 20

// Options of a Service. Director and Config are required.
type Options struct {
	Director *director.Director
	Config   *config.Config
	// DefaultPool is the pool ("namespace/name") of streams that name none. Empty: the only pool there is.
	DefaultPool string
	// MaxBody bounds the body of a request of the standard protocol, in bytes; 0: DefaultMaxBody.
	MaxBody int
	Logger  *slog.Logger
}

// Service is the ext_proc server. Safe for concurrent use.
type Service struct {
	options Options
	headers []string // names of the request headers that are read for others
	streams atomic.Int64
	opened  atomic.Int64
}

// New makes a service.
func New(options Options) *Service {
	if options.MaxBody == 0 {
		options.MaxBody = DefaultMaxBody
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	return &Service{options: options, headers: options.Director.RequestHeaders()}
}

// Register adds the service to a server, which must use Codec.
func (s *Service) Register(registrar grpc.ServiceRegistrar) {
	registrar.RegisterService(&grpc.ServiceDesc{
		ServiceName: ServiceName,
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName:    "Process",
			Handler:       func(_ any, stream grpc.ServerStream) error { return s.process(stream) },
			ServerStreams: true,
			ClientStreams: true,
		}},
		Metadata: "envoy/service/ext_proc/v3/external_processor.proto",
	}, s)
}

// Streams is the number of streams open now, which is the number of requests under way.
func (s *Service) Streams() int64 { return s.streams.Load() }

// Opened is the number of streams opened so far.
func (s *Service) Opened() int64 { return s.opened.Load() }

// process serves one stream, which is one HTTP request. Its frames are small on purpose: this is the stack that stays
// while the model server works.
func (s *Service) process(raw grpc.ServerStream) (err error) {
	s.opened.Add(1)
	s.streams.Add(1)
	defer s.streams.Add(-1)
	pool, err := s.poolOf(raw.Context())
	if err != nil {
		return err
	}
	stream := &exclusive{ServerStream: raw}
	x := s.options.Director.Begin(pool, time.Now())
	defer func() {
		if no := stream.end(); no != nil {
			x.Refused(no)
		}
		x.End()
	}()
	defer s.contain(&err)
	handler := s.handlerOf(stream.Context(), x)
	f := new(frame)
	defer f.free()
	for {
		if err := stream.RecvMsg(f); err != nil {
			return endOfStream(err)
		}
		done, err := handler.handle(stream, f)
		f.free()
		if done || err != nil {
			return err
		}
	}
}

// handler does one protocol's part of a stream.
type handler interface {
	// handle answers one message. done ends the stream.
	handle(stream *exclusive, f *frame) (done bool, err error)
}

func (s *Service) handlerOf(ctx context.Context, x *director.Exchange) handler {
	if protocol := metadata.ValueFromIncomingContext(ctx, protocolKey); len(protocol) > 0 && protocol[0] == lean {
		return &leanHandler{service: s, exchange: x}
	}
	return &standardHandler{service: s, exchange: x}
}

// contain turns a panic into the failure of one stream; others go on.
func (s *Service) contain(err *error) {
	if cause := recover(); cause != nil {
		s.options.Logger.Error("serving a request panicked", "cause", cause, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "the picker failed on this request")
	}
}

// endOfStream is the stream's result for the error that ended it: the proxy closing it is how a request ends.
func endOfStream(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// decide asks the director; where the request is not to be served, it answers that, and the stream is done.
func (s *Service) decide(stream *exclusive, x *director.Exchange, asked *director.Request) (decision director.Decision, done bool, err error) {
	asked.Revoke = func(no *director.Refusal) { go stream.takeBack(no) }
	if decision, err = s.options.Director.Decide(stream.Context(), x, asked); err == nil {
		return decision, false, nil
	}
	var no *director.Refusal
	if !errors.As(err, &no) {
		return decision, true, status.Error(codes.Internal, err.Error())
	}
	return decision, true, s.refuse(stream, x, no)
}

// refuse sends a refusal and counts it; the stream is done with that.
func (s *Service) refuse(stream grpc.ServerStream, x *director.Exchange, no *director.Refusal) error {
	x.Refused(no)
	if s.options.Logger.Enabled(stream.Context(), slog.LevelDebug) {
		s.options.Logger.Debug("request refused", "pool", x.Pool().Key(), "status", no.Status, "message", no.Message)
	}
	return stream.SendMsg(refusalAnswer(no))
}

package xds

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	// A proxy that has gone without a word is noticed within pingInterval + pingTimeout.
	pingInterval = 30 * time.Second
	pingTimeout  = 10 * time.Second
	// Proxies may ping this often, also before their stream is open.
	minClientPing = 5 * time.Second
	// Connections are renewed so that proxies spread over the replicas again after one was restarted. grpc varies it
	// by a tenth, so that they do not all come at once. A proxy that moves is sent nothing.
	maxConnectionAge      = 10 * time.Hour
	maxConnectionAgeGrace = 30 * time.Second
	// One ADS stream is what a proxy needs; the rest is room for a reconnection that overlaps.
	maxStreams = 16
	// The first request of a reconnecting proxy lists every resource it holds: about 100 bytes each.
	maxRequestBytes = 32 << 20
	// A connection that idles keeps no write buffer and a small read buffer: with the defaults of 32 KiB each, 1 000
	// proxies would hold 64 MiB of empty buffers.
	readBufferBytes = 4 << 10
)

// GRPCServer makes a gRPC server with limits that fit a thousand idle, long-lived proxies. opts come last and win.
func GRPCServer(opts ...grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append([]grpc.ServerOption{
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time:                  pingInterval,
			Timeout:               pingTimeout,
			MaxConnectionAge:      maxConnectionAge,
			MaxConnectionAgeGrace: maxConnectionAgeGrace,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime:             minClientPing,
			PermitWithoutStream: true,
		}),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.ReadBufferSize(readBufferBytes),
	}, opts...)...)
}

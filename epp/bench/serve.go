package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/switchyard/switchyard/epp"
	"github.com/switchyard/switchyard/epp/bench/wire"
	"github.com/switchyard/switchyard/epp/datalayer"
)

// Kinds of server. The floor is what anybody would write with the generated types; the bare floor does not even look at the
// message, it joins the received frames in a buffer as the picker does.
const (
	floor     = "floor"
	bareFloor = "bare-floor"
	picker    = "picker"
)

var kinds = []string{floor, bareFloor, picker}

const (
	poolKey   = "bench/pool"
	endpoints = 100
)

// serveUntilParentIsGone answers each line on standard input with a report, until the input ends.
func serveUntilParentIsGone(kind, metricsPort string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	grpcServer, err := newServer(ctx, kind, metricsPort)
	if err != nil {
		return err
	}
	go func() { _ = grpcServer.Serve(listener) }()
	defer grpcServer.Stop()
	answers := json.NewEncoder(os.Stdout)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		cpu := cpuTime()
		if lines.Text() == askMemory {
			debug.FreeOSMemory()
		}
		if err := answers.Encode(report{Address: listener.Addr().String(), CPU: cpu, Resident: resident()}); err != nil {
			return err
		}
	}
	return nil
}

func newServer(ctx context.Context, kind, metricsPort string) (*grpc.Server, error) {
	pools := datalayer.New(datalayer.Options{Interval: time.Minute, IdleInterval: time.Minute, StaleAfter: time.Hour})
	specs := make([]datalayer.Spec, endpoints)
	for i := range specs {
		specs[i] = datalayer.Spec{Name: fmt.Sprintf("pod-%d-rank-0", i), Namespace: "bench", Address: fmt.Sprintf("127.0.1.%d:%s", i+1, metricsPort)}
	}
	pools.Set(poolKey, specs)
	e, err := epp.New(epp.Options{Pools: pools, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	switch kind {
	case picker:
		go func() { _ = e.Run(ctx) }()
		return e.GRPCServer(), waitForMetrics(pools)
	case floor:
		// The same transport, the usual codec.
		server := grpc.NewServer(append(e.ServerOptions(), grpc.ForceServerCodecV2(nil))...)
		extprocv3.RegisterExternalProcessorServer(server, constantServer{})
		return server, nil
	case bareFloor:
		server := grpc.NewServer(append(e.ServerOptions(), grpc.ForceServerCodecV2(bareCodec{}))...)
		server.RegisterService(&grpc.ServiceDesc{ServiceName: "envoy.service.ext_proc.v3.ExternalProcessor", HandlerType: (*any)(nil),
			Streams: []grpc.StreamDesc{{StreamName: "Process", ServerStreams: true, ClientStreams: true, Handler: answerBare}}}, struct{}{})
		return server, nil
	}
	return nil, fmt.Errorf("no server of kind %q", kind)
}

func waitForMetrics(pools *datalayer.Pools) error {
	pool, _ := pools.Get(poolKey)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		fresh := 0
		for _, endpoint := range pool.Endpoints() {
			if !endpoint.Metrics().Stale(time.Now()) {
				fresh++
			}
		}
		if fresh == endpoints {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("metrics of %d of %d endpoints after 10 s", fresh, endpoints)
		}
	}
}

// constantServer answers each message with a constant.
type constantServer struct {
	extprocv3.UnimplementedExternalProcessorServer
}

var constantPick = &extprocv3.ProcessingResponse{
	Response: &extprocv3.ProcessingResponse_RequestBody{RequestBody: &extprocv3.BodyResponse{Response: &extprocv3.CommonResponse{}}},
	DynamicMetadata: &structpb.Struct{Fields: map[string]*structpb.Value{"envoy.lb": structpb.NewStructValue(&structpb.Struct{
		Fields: map[string]*structpb.Value{"x-gateway-destination-endpoint": structpb.NewStringValue("127.0.1.1:8000")}})}},
}

var constantHeaders = &extprocv3.ProcessingResponse{
	Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{}},
}

var constantTrailers = &extprocv3.ProcessingResponse{
	Response: &extprocv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: &extprocv3.TrailersResponse{}},
}

// Process implements extprocv3.ExternalProcessorServer.
func (constantServer) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer := constantTrailers
		switch request.Request.(type) {
		case *extprocv3.ProcessingRequest_RequestHeaders:
			answer = constantHeaders
		case *extprocv3.ProcessingRequest_RequestBody:
			answer = constantPick
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

// bareCodec joins a message's frames and forgets them.
type bareCodec struct{}

var constantBytes = wire.Encode(constantPick)

func (bareCodec) Name() string { return "proto" }

func (bareCodec) Marshal(any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(constantBytes)}, nil
}

func (bareCodec) Unmarshal(data mem.BufferSlice, _ any) error {
	data.MaterializeToBuffer(mem.DefaultBufferPool()).Free()
	return nil
}

func answerBare(_ any, stream grpc.ServerStream) error {
	for {
		if err := stream.RecvMsg(nil); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(struct{}{}); err != nil {
			return err
		}
	}
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// resident is the process's memory in bytes, by the kernel's account.
func resident() int64 {
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Fscan(strings.NewReader(string(status)), &size, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

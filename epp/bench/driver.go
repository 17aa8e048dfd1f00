package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/switchyard/switchyard/epp/bench/wire"
)

// doRequest is one request from its first message to the end of its stream. It tells how long the request would have waited
// for its pick: from the opening of the stream to the answer to the body.
func doRequest(ctx context.Context, conn *grpc.ClientConn, body []byte, load *workload) (time.Duration, error) {
	began := time.Now()
	stream, err := wire.Open(ctx, conn, poolKey)
	if err != nil {
		return 0, err
	}
	if err := wire.Exchange(stream, wire.Headers); err != nil {
		return 0, err
	}
	if err := wire.Exchange(stream, body); err != nil {
		return 0, err
	}
	waited := time.Since(began)
	return waited, finishRequest(stream, load)
}

// finishRequest waits as long as the model server answers, then ends the stream as a proxy does.
func finishRequest(stream grpc.ClientStream, load *workload) error {
	if load.hold > 0 {
		timer := time.NewTimer(load.hold)
		defer timer.Stop()
		<-timer.C
	}
	if err := wire.Exchange(stream, load.trailers); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	var length int
	if err := stream.RecvMsg(&length); err != io.EOF {
		return fmt.Errorf("the stream did not end: %v", err)
	}
	return nil
}

// drive sends requests for a time. It calls begin and end when the part begins and ends that is to be measured, with the
// number of requests done by then: of an open loop that is the time in which as many requests end as begin.
func drive(conns []*grpc.ClientConn, load *workload, length time.Duration, begin, end func(done int64) error) ([]time.Duration, error) {
	r := &run{conns: conns, load: load}
	if load.streams > 0 {
		if err := begin(0); err != nil {
			return nil, err
		}
		r.closedLoop(length)
	} else {
		settle := load.hold + load.hold/10
		r.wg.Go(func() { r.openLoop(settle + length) })
		if err := after(settle, func() error { return begin(r.done.Load()) }); err != nil {
			return nil, err
		}
		if err := after(length, func() error { return end(r.done.Load()) }); err != nil {
			return nil, err
		}
	}
	r.wg.Wait()
	if err := r.failure.Load(); err != nil {
		return nil, *err
	}
	if load.streams > 0 {
		return r.waited, end(r.done.Load())
	}
	return r.waited, nil
}

func after(wait time.Duration, do func() error) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	<-timer.C
	return do()
}

// run is one turn of a workload.
type run struct {
	conns   []*grpc.ClientConn
	load    *workload
	wg      sync.WaitGroup
	done    atomic.Int64
	failure atomic.Pointer[error]

	mu     sync.Mutex
	waited []time.Duration // for the pick, of each request
}

func (r *run) request(i int) {
	waited, err := doRequest(context.Background(), r.conns[i%len(r.conns)], r.load.bodies[i%len(r.load.bodies)], r.load)
	if err != nil {
		r.failure.CompareAndSwap(nil, &err)
		return
	}
	r.mu.Lock()
	r.waited = append(r.waited, waited)
	r.mu.Unlock()
	r.done.Add(1)
}

// closedLoop keeps load.streams requests under way.
func (r *run) closedLoop(length time.Duration) {
	end := time.Now().Add(length)
	var next atomic.Int64
	for range r.load.streams {
		r.wg.Go(func() {
			for time.Now().Before(end) && r.failure.Load() == nil {
				r.request(int(next.Add(1)))
			}
		})
	}
}

// openLoop begins load.rate requests a second.
func (r *run) openLoop(length time.Duration) {
	tick := time.NewTicker(time.Second / time.Duration(r.load.rate))
	defer tick.Stop()
	for i := range int(length.Seconds() * float64(r.load.rate)) {
		<-tick.C
		r.wg.Go(func() { r.request(i) })
	}
}

// pages are the metrics of the simulated model servers: one listener, reached by a different loopback address for each.
type pages struct {
	port     string
	listener net.Listener
}

const page = `# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name="m"} 0.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{model_name="m"} 0.25
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",num_gpu_blocks="200000"} 1.0
`

func startPages() (*pages, error) {
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, err
	}
	go func() {
		_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page) }))
	}()
	return &pages{port: port, listener: listener}, nil
}

func (p *pages) stop() { _ = p.listener.Close() }

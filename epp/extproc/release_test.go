package extproc_test

import (
	"net"
	"sync"
	"testing"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/prefix"
)

// blocksOf is how many blocks of the prompt of TestLeanTrailersTellUsageAndServedEndpoint the index believes an endpoint holds.
func blocksOf(p *picker, address string) int {
	var scanned body.Request
	limits := config.Default().Prefix
	if err := body.Scan(body.ChatCompletions, []byte(chat("m", longPrompt("x", 8000))), true, limits.Limits(limits.Block(0)), &scanned); err != nil {
		p.t.Fatal(err)
	}
	keys := prefix.Chain(nil, prefix.Seed("m", ""), scanned.Blocks)
	for _, endpoint := range p.pool().Endpoints() {
		for _, hit := range p.pool().Index().Match(keys, nil) {
			if endpoint.Address == address && hit.Server == endpoint.Server {
				return hit.Blocks
			}
		}
	}
	return 0
}

// TestReleasedOnceWhateverEndsTheRequest begins requests in each state and ends them in each way.
func TestReleasedOnceWhateverEndsTheRequest(t *testing.T) {
	body := chat("m", longPrompt("x", 4000))
	begin := map[string]func(p *picker) *stream{
		"lean, before the pick": func(p *picker) *stream {
			s := p.openLean()
			s.send(requestHeaders(false, ":path", chatPath))
			s.receive()
			return s
		},
		"lean, picked": func(p *picker) *stream {
			s := p.openLean()
			s.send(leanBody(chatPath, body, true))
			s.receive()
			return s
		},
		"lean, served elsewhere": func(p *picker) *stream {
			s := p.openLean()
			s.send(leanBody(chatPath, body, true))
			s.receive()
			for i := range 2 {
				s.send(served(responseTrailers(), address(i)))
				s.receive()
			}
			return s
		},
		"standard, half a body": func(p *picker) *stream {
			s := p.open()
			s.send(requestHeaders(false, ":path", chatPath))
			s.send(requestBody(body[:100], false))
			return s
		},
		"standard, picked": func(p *picker) *stream {
			s := p.open()
			s.send(requestHeaders(false, ":path", chatPath))
			s.send(requestBody(body, true))
			s.receive()
			s.receiveBody(0, true, requestBodyOf)
			return s
		},
		"standard, answering": func(p *picker) *stream {
			s := p.open()
			s.send(requestHeaders(true, ":path", "/v1/models"))
			s.receive()
			s.send(responseHeaders(":status", "200", "content-type", "text/event-stream"))
			s.receive()
			s.send(responseBody("data: x\n\n", false))
			s.receive()
			return s
		},
	}
	end := map[string]func(p *picker, s *stream){
		"answered":        func(_ *picker, s *stream) { s.finish() },
		"client gone":     func(_ *picker, s *stream) { s.cancel() },
		"connection lost": func(p *picker, _ *stream) { p.conn.Close() },
		"drained":         func(p *picker, _ *stream) { p.server.Stop() },
		"pool gone": func(p *picker, s *stream) {
			endpoints := p.pool().Endpoints()
			p.pools.Set("ns/pool", nil)
			s.finish()
			for _, endpoint := range endpoints {
				if endpoint.Requests() != 0 || endpoint.Tokens() != 0 {
					p.t.Errorf("%s still has %d requests and %d tokens", endpoint.Name, endpoint.Requests(), endpoint.Tokens())
				}
			}
		},
	}
	for state, start := range begin {
		for way, stop := range end {
			t.Run(state+"/"+way, func(t *testing.T) {
				p := startPicker(t, settings{endpoints: 2})
				s := start(p)
				stop(p, s)
				p.expectIdle()
			})
		}
	}
}

// TestManyAtOnce runs requests that end in different ways side by side, and counts again when all is over.
func TestManyAtOnce(t *testing.T) {
	p := startPicker(t, settings{endpoints: 4})
	const workers, each = 16, 25
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				s := p.openLean()
				s.send(leanBody(chatPath, chat("m", longPrompt(string(rune('a'+w)), 3000)), true))
				if picked(s.receive()) == "" {
					t.Error("no pick")
				}
				if i%3 == 0 {
					s.cancel()
				} else {
					s.finish()
				}
			}
		})
	}
	wg.Wait()
	p.expectIdle()
	if got := p.metric("llm_d_epp_request_total"); got != workers*each {
		t.Errorf("request_total is %g, want %d", got, workers*each)
	}
	if got := p.metric("llm_d_epp_request_duration_seconds"); got != workers*each {
		t.Errorf("request_duration_seconds has %g observations, want %d", got, workers*each)
	}
}

func TestGracefulStopWaitsForRequests(t *testing.T) {
	p := startPicker(t, settings{endpoints: 1})
	s := p.openLean()
	s.send(leanBody(chatPath, chat("m", "x"), true))
	s.receive()
	stopped := make(chan struct{})
	go func() { p.server.GracefulStop(); close(stopped) }()
	p.eventually("new connections are refused", func() bool {
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	select {
	case <-stopped:
		t.Fatal("stopped while a request was under way")
	default:
	}
	s.finish()
	<-stopped
	p.expectIdle()
}

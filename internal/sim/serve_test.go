package sim

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// TestShutdownCutsOff stops a server with a stream, a queue and a websocket in flight; goleak sees what is left.
func TestShutdownCutsOff(t *testing.T) {
	r := start(t, slow(Config{MaxRunning: 1}))
	rest, hangUp := r.stream("running", 2)
	defer hangUp()
	status := r.park(context.Background(), "waiting", "max_tokens", 2)
	r.eventually("waits", func(s Stats) bool { return s.Waiting == 1 })
	ws := r.dial()
	defer ws.Close()
	begun := time.Now()
	r.stop()
	if took := time.Since(begun); took > limit/2 {
		t.Errorf("shutdown took %s", took)
	}
	if got := <-status; got != 0 {
		t.Errorf("the waiting request was answered %d", got)
	}
	if b, err := io.ReadAll(rest); err == nil {
		t.Errorf("the stream looks complete after %q", b)
	}
	_ = ws.SetReadDeadline(time.Now().Add(limit))
	if _, err := ws.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the websocket is still open: %v", err)
	}
	if s := r.Stats(); s.Running != 0 || s.Waiting != 0 || s.UsedBlocks != 0 {
		t.Errorf("left over: %+v", s)
	}
	if _, err := net.DialTimeout("tcp", strings.TrimPrefix(r.url, "http://"), limit); err == nil {
		t.Error("the port still answers")
	}
}

// TestServeReturnsLast looks at the server's books the moment that Serve has returned.
func TestServeReturnsLast(t *testing.T) {
	const streams = 100
	r := start(t, slow(Config{MaxRunning: streams}))
	for range streams {
		defer r.hold("running", 2)()
	}
	r.stop()
	if s := r.Stats(); s.Running != 0 || s.Disconnects != streams {
		t.Errorf("%+v; want none running, %d cut off", s, streams)
	}
}

// TestUnfinishedAnswersLookUnfinished stops the work and leaves the connections open: what was not answered must
// not end like an answer.
func TestUnfinishedAnswersLookUnfinished(t *testing.T) {
	s := New(slow(Config{Model: "m"}))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	server := httptest.NewUnstartedServer(s)
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	defer server.Close()
	r := &running{Server: s, url: server.URL, client: server.Client(), t: t}

	rest, hangUp := r.stream("streamed", 2)
	defer hangUp()
	whole := r.park(context.Background(), "whole", "max_tokens", 2)
	r.eventually("both run", func(s Stats) bool { return s.Running == 2 })
	stop()
	if b, err := io.ReadAll(rest); err == nil {
		t.Errorf("the stream looks complete after %q", b)
	}
	if got := <-whole; got != 0 {
		t.Errorf("the other was answered %d", got)
	}
	r.idle()
}

func TestShutdownDrains(t *testing.T) {
	r := start(t, Config{Model: "m", Drain: limit, FirstToken: 1, InterToken: 50 * time.Millisecond})
	resp := r.open(context.Background(), "POST", "/v1/chat/completions", chat+`,"stream":true,"max_tokens":5}`)
	defer resp.Body.Close()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.stop()
	}()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.HasSuffix(body, []byte("data: [DONE]\n\n")) {
		t.Errorf("the stream was cut: %v after %q", err, body)
	}
	<-stopped
}

func TestServeReportsABrokenListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := New(Config{Name: "gpu"}).Serve(context.Background(), l); err == nil || !strings.Contains(err.Error(), `"gpu"`) {
		t.Errorf("error %v", err)
	}
}

func TestCleartextHTTP2(t *testing.T) {
	r := start(t, Config{Model: "m", TimeScale: Instant})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	r.client = &http.Client{Transport: transport}
	resp := r.open(context.Background(), "POST", "/v1/chat/completions", chat+`,"stream":true}`)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.ProtoMajor != 2 || !bytes.HasSuffix(body, []byte("data: [DONE]\n\n")) {
		t.Errorf("%s, %v, %q", resp.Proto, err, body)
	}
	ctx, cancel := context.WithCancel(context.Background())
	slowly := start(t, slow(Config{Model: "m"}))
	slowly.client = r.client
	stream := slowly.open(ctx, "POST", "/v1/chat/completions", chat+`,"stream":true}`)
	nextEvent(t, bufio.NewReader(stream.Body))
	cancel() // a reset of one stream, on a connection that stays
	slowly.idle()
	_ = stream.Body.Close()
	if got := r.do("GET", "/ws", ""); got.status != http.StatusUpgradeRequired {
		t.Errorf("/ws over HTTP/2: status %d", got.status)
	}
}

func (r *running) dial() *websocket.Conn {
	r.t.Helper()
	ws, err := websocket.Dial(strings.Replace(r.url, "http", "ws", 1)+"/ws", "", "http://example.com")
	if err != nil {
		r.t.Fatal(err)
	}
	_ = ws.SetDeadline(time.Now().Add(limit))
	return ws
}

func TestWebsocketEcho(t *testing.T) {
	r := start(t, Config{})
	ws := r.dial()
	defer ws.Close()
	for _, sent := range []frame{
		{websocket.TextFrame, []byte("hello")},
		{websocket.BinaryFrame, []byte{0, 1, 255}},
		{websocket.TextFrame, bytes.Repeat([]byte("x"), 100_000)},
	} {
		if err := frames.Send(ws, &sent); err != nil {
			t.Fatal(err)
		}
		var got frame
		if err := frames.Receive(ws, &got); err != nil || got.kind != sent.kind || !bytes.Equal(got.data, sent.data) {
			t.Errorf("sent %d bytes of kind %d, got %d of kind %d: %v", len(sent.data), sent.kind, len(got.data), got.kind, err)
		}
	}
	if got := r.do("GET", "/ws", ""); got.status != http.StatusUpgradeRequired {
		t.Errorf("/ws without an upgrade: status %d", got.status)
	}
}

func TestEcho(t *testing.T) {
	r := start(t, Config{Name: "gpu"})
	got := r.do("PUT", "/echo/a%20b?x=1&status=418", "12345", "X-One", "1")
	o := parse(t, got.body)
	if got.status != 418 || at(t, o, "server") != "gpu" || at(t, o, "method") != "PUT" || number(t, o, "bodyBytes") != 5 ||
		at(t, o, "path") != "/echo/a%20b?x=1&status=418" || at(t, o, "headers", "X-One") != "1" ||
		at(t, o, "host") != strings.TrimPrefix(r.url, "http://") || at(t, o, "proto") != "HTTP/1.1" {
		t.Errorf("status %d, %s", got.status, got.body)
	}
	begun := time.Now()
	if got := r.do("GET", "/echo?delay=50ms", ""); got.status != 200 || time.Since(begun) < 50*time.Millisecond {
		t.Errorf("status %d after %s", got.status, time.Since(begun))
	}
	for _, path := range []string{"/echo?status=99", "/echo?status=x", "/echo?delay=-1s", "/echo?delay=2h"} {
		if got := r.do("GET", path, ""); got.status != 400 {
			t.Errorf("%s: status %d", path, got.status)
		}
	}
	all := start(t, Config{Echo: true})
	if o := parse(t, all.do("DELETE", "/some/where", "").body); at(t, o, "path") != "/some/where" {
		t.Errorf("an unknown path with Echo: %v", o)
	}
	if got := all.do("GET", "/v1/models", ""); !bytes.Contains(got.body, []byte(DefaultModel)) {
		t.Errorf("the API with Echo: %s", got.body)
	}
}

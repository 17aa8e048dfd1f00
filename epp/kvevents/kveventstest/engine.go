// Package kveventstest has an engine for tests: it publishes events about a KV cache as vLLM does, and has a replay socket.
// It holds no cache; what it says is up to the test.
//
//	test -> Engine.Publish -> PUB socket (ZMTP 3.0 over TCP) -> whoever subscribed
package kveventstest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// Engine is an engine. Its methods may be called from any goroutine.
type Engine struct {
	t      testing.TB
	pub    net.Listener
	router net.Listener // nil: no replay
	topic  string

	mu          sync.Mutex
	changed     *sync.Cond
	subscribers map[net.Conn]bool
	buffer      []message
	next        uint64
	replays     int
	running     sync.WaitGroup
	closed      bool
}

type message struct {
	seq     uint64
	payload []byte
}

// Listen starts an engine on a loopback address, such as 127.0.0.1:0, that says it is this pod. It ends with the test.
func Listen(t testing.TB, address, pod string, replay bool) *Engine {
	t.Helper()
	e := &Engine{t: t, topic: "kv@" + pod + "@model", subscribers: map[net.Conn]bool{}}
	e.changed = sync.NewCond(&e.mu)
	e.pub = listen(t, address)
	if replay {
		host, _, _ := net.SplitHostPort(address)
		e.router = listen(t, net.JoinHostPort(host, "0"))
		e.running.Go(func() { e.accept(e.router, e.asked) })
	}
	e.running.Go(func() { e.accept(e.pub, e.subscriber) })
	t.Cleanup(e.Close)
	return e
}

func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Address is where it publishes, and Replay where it can be asked again.
func (e *Engine) Address() string { return e.pub.Addr().String() }

// Replay is where it can be asked for messages again.
func (e *Engine) Replay() string { return e.router.Addr().String() }

// Close ends the engine.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	_ = e.pub.Close()
	if e.router != nil {
		_ = e.router.Close()
	}
	e.Disconnect()
	e.running.Wait()
}

// Disconnect breaks all connections.
func (e *Engine) Disconnect() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for conn := range e.subscribers {
		_ = conn.Close()
	}
}

// AwaitSubscribers waits until so many have subscribed.
func (e *Engine) AwaitSubscribers(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.subscribers) != n {
		e.changed.Wait()
	}
}

// Replays counts how often it was asked again.
func (e *Engine) Replays() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.replays
}

// Publish sends one message with these events, which its buffer keeps.
func (e *Engine) Publish(events ...[]byte) { e.send(true, Batch(events...)) }

// PublishRaw sends a payload as it is.
func (e *Engine) PublishRaw(payload []byte) { e.send(true, payload) }

// Lose puts a message into the buffer that nobody gets.
func (e *Engine) Lose(events ...[]byte) { e.send(false, Batch(events...)) }

// Repeat sends the last message once more, under its number.
func (e *Engine) Repeat() {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.buffer[len(e.buffer)-1]
	for conn := range e.subscribers {
		_, _ = conn.Write(Message([]byte(e.topic), binary.BigEndian.AppendUint64(nil, m.seq), m.payload))
	}
}

// Restart has the numbers begin anew and the buffer empty; connections stay, unlike those of a real one.
func (e *Engine) Restart() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next, e.buffer = 0, nil
}

// Drop empties the buffer but for the last n messages.
func (e *Engine) Drop(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.buffer = e.buffer[len(e.buffer)-n:]
}

func (e *Engine) send(out bool, payload []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := message{e.next, payload}
	e.buffer = append(e.buffer, m)
	e.next++
	if !out {
		return
	}
	for conn := range e.subscribers {
		_, _ = conn.Write(Message([]byte(e.topic), binary.BigEndian.AppendUint64(nil, m.seq), payload))
	}
}

func (e *Engine) accept(l net.Listener, serve func(net.Conn, *bufio.Reader)) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		e.running.Go(func() {
			defer func() { _ = conn.Close() }()
			kind := "PUB"
			if l == e.router {
				kind = "ROUTER"
			}
			in, err := Shake(conn, kind)
			if err == nil {
				serve(conn, in)
			}
		})
	}
}

// subscriber serves one subscriber until it goes.
func (e *Engine) subscriber(conn net.Conn, in *bufio.Reader) {
	frame, _, err := ReadFrame(in)
	if err != nil || len(frame) == 0 || frame[0] != 1 {
		return
	}
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	e.subscribers[conn] = true
	e.changed.Broadcast()
	e.mu.Unlock()
	_, _ = io.Copy(io.Discard, in)
	e.mu.Lock()
	delete(e.subscribers, conn)
	e.changed.Broadcast()
	e.mu.Unlock()
}

// asked answers one who asks again.
func (e *Engine) asked(conn net.Conn, in *bufio.Reader) {
	empty, more, err := ReadFrame(in)
	if err != nil || len(empty) != 0 || !more {
		return
	}
	from, _, err := ReadFrame(in)
	if err != nil || len(from) != 8 {
		return
	}
	e.mu.Lock()
	e.replays++
	buffer := append([]message(nil), e.buffer...)
	e.mu.Unlock()
	for _, m := range buffer {
		if m.seq >= binary.BigEndian.Uint64(from) {
			_, _ = conn.Write(Message(nil, []byte(e.topic), binary.BigEndian.AppendUint64(nil, m.seq), m.payload))
		}
	}
	_, _ = conn.Write(Message(nil, nil, binary.BigEndian.AppendUint64(nil, ^uint64(0)), nil))
	_, _ = io.Copy(io.Discard, in)
}

// Shake does the handshake as a socket of this type.
func Shake(conn net.Conn, kind string) (*bufio.Reader, error) {
	greeting := make([]byte, 64)
	greeting[0], greeting[8], greeting[9], greeting[10], greeting[11] = 0xff, 1, 0x7f, 3, 1
	copy(greeting[12:], "NULL")
	if _, err := conn.Write(greeting); err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	if _, err := io.ReadFull(in, make([]byte, 64)); err != nil {
		return nil, err
	}
	body := append([]byte("\x05READY\x0bSocket-Type\x00\x00\x00"), byte(len(kind)))
	body = append(body, kind...)
	if _, err := conn.Write(append([]byte{4, byte(len(body))}, body...)); err != nil {
		return nil, err
	}
	_, _, err := ReadFrame(in)
	return in, err
}

// ReadFrame reads one frame.
func ReadFrame(in *bufio.Reader) (body []byte, more bool, err error) {
	flags, err := in.ReadByte()
	if err != nil {
		return nil, false, err
	}
	if flags&2 != 0 {
		return nil, false, errors.New("a long frame")
	}
	size, err := in.ReadByte()
	if err != nil {
		return nil, false, err
	}
	body = make([]byte, size)
	_, err = io.ReadFull(in, body)
	return body, flags&1 != 0, err
}

// Message is the bytes of one message.
func Message(frames ...[]byte) []byte {
	var out []byte
	for i, frame := range frames {
		flags := byte(2)
		if i < len(frames)-1 {
			flags |= 1
		}
		out = binary.BigEndian.AppendUint64(append(out, flags), uint64(len(frame)))
		out = append(out, frame...)
	}
	return out
}

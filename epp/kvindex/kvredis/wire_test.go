package kvredis_test

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// wire is a connection to a database that can be held up.
type wire struct {
	listener net.Listener
	to       string
	held     atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
	all   sync.WaitGroup
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener, to: to}
	w.all.Go(w.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		w.cut()
		w.all.Wait()
	})
	return w
}

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, client, server)
		w.mu.Unlock()
		w.all.Go(func() { w.carry(client, server) })
		w.all.Go(func() { w.carry(server, client) })
	}
}

// carry copies, but swallows everything while the wire is held.
func (w *wire) carry(from, to net.Conn) {
	defer func() { _, _ = from.Close(), to.Close() }()
	memory := make([]byte, 4096)
	for {
		n, err := from.Read(memory)
		if err != nil {
			return
		}
		if w.held.Load() {
			continue
		}
		if _, err := to.Write(memory[:n]); err != nil {
			return
		}
	}
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

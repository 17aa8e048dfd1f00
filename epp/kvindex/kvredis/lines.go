package kvredis

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"syscall"
)

// lines are the connections of a client. It forgets to close some that do not begin well, so that is done here.
type lines struct {
	secure *tls.Config // nil: no TLS

	mu   sync.Mutex
	open map[*line]struct{}
}

// line is a connection that is forgotten when it is closed.
type line struct {
	net.Conn
	all *lines
}

// Close implements net.Conn.
func (l *line) Close() error {
	l.all.mu.Lock()
	delete(l.all.open, l)
	l.all.mu.Unlock()
	return l.Conn.Close()
}

// rawLine is one that can be looked at without reading: the client finds out so that it was closed at the other end.
type rawLine struct {
	*line
	syscall.Conn
}

func (l *lines) dial(ctx context.Context, network, address string) (net.Conn, error) {
	plain := &net.Dialer{Timeout: dialTimeout}
	dial := plain.DialContext
	if l.secure != nil {
		dial = (&tls.Dialer{NetDialer: plain, Config: l.secure}).DialContext
	}
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	at := &line{conn, l}
	l.mu.Lock()
	if l.open == nil {
		l.open = map[*line]struct{}{}
	}
	l.open[at] = struct{}{}
	l.mu.Unlock()
	if raw, ok := conn.(syscall.Conn); ok {
		return rawLine{at, raw}, nil
	}
	return at, nil
}

// cut closes all.
func (l *lines) cut() {
	l.mu.Lock()
	open := l.open
	l.open = nil
	l.mu.Unlock()
	for at := range open {
		_ = at.Conn.Close()
	}
}

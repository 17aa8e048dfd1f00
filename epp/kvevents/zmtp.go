package kvevents

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// Bounds of what a peer may send, in bytes and frames.
const (
	maxMessage = 16 << 20
	maxFrames  = 8
	maxCommand = 4 << 10
)

// dialTimeout bounds connecting and the handshake; writeTimeout one write after it.
const (
	dialTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
)

// Flags of a ZMTP frame.
const (
	flagMore    = 1
	flagLong    = 2
	flagCommand = 4
)

// greeting is the first 64 bytes of a ZMTP 3.0 connection without security.
var greeting = func() [64]byte {
	var g [64]byte
	g[0], g[9], g[10] = 0xff, 0x7f, 3
	copy(g[12:32], "NULL")
	return g
}()

// peer is one ZMTP connection. It belongs to one goroutine.
type peer struct {
	conn   net.Conn
	in     *bufio.Reader
	frames [][]byte
	memory []byte
}

// dial connects to address ("host:port") as a socket of type mine; the other side has to be one of theirs. The connection
// breaks when ctx ends.
func dial(ctx context.Context, address, mine string, theirs ...string) (*peer, error) {
	dialer := net.Dialer{Timeout: dialTimeout, KeepAliveConfig: keepAlive}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return shake(ctx, conn, mine, theirs...)
}

// keepAlive notices within half a minute that a node is gone: an engine without work says nothing for hours.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// shake does the handshake on a connection, which it closes when it fails.
func shake(ctx context.Context, conn net.Conn, mine string, theirs ...string) (*peer, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	p := &peer{conn: conn, in: bufio.NewReaderSize(conn, 32<<10)}
	if err := p.handshake(mine, theirs); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("ZMTP handshake: %w", err)
	}
	return p, nil
}

func (p *peer) handshake(mine string, theirs []string) error {
	if err := p.conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	if _, err := p.conn.Write(greeting[:]); err != nil {
		return err
	}
	var got [64]byte
	if _, err := io.ReadFull(p.in, got[:]); err != nil {
		return err
	}
	switch {
	case got[0] != 0xff || got[9]&1 == 0:
		return errors.New("the other side does not speak ZMTP")
	case got[10] < 3:
		return fmt.Errorf("the other side speaks ZMTP %d, 3 is needed", got[10])
	case string(bytes.TrimRight(got[12:32], "\x00")) != "NULL":
		return fmt.Errorf("the other side wants the security mechanism %q; only NULL is supported", bytes.TrimRight(got[12:32], "\x00"))
	}
	if err := p.write(flagCommand, ready(mine)); err != nil {
		return err
	}
	flags, body, err := p.frame(maxCommand)
	if err != nil {
		return err
	}
	socket, err := readySocket(flags, body)
	if err != nil {
		return err
	}
	if !slices.Contains(theirs, socket) {
		return fmt.Errorf("the other side is a %q socket; wanted %s", socket, strings.Join(theirs, " or "))
	}
	return p.conn.SetDeadline(time.Time{})
}

// ready is the body of the READY command.
func ready(socket string) []byte {
	body := []byte("\x05READY")
	body = appendProperty(body, "Socket-Type", socket)
	if socket == "DEALER" {
		body = appendProperty(body, "Identity", "")
	}
	return body
}

func appendProperty(body []byte, name, value string) []byte {
	body = append(append(body, byte(len(name))), name...)
	body = binary.BigEndian.AppendUint32(body, uint32(len(value)))
	return append(body, value...)
}

// readySocket is the socket type that a READY command names.
func readySocket(flags byte, body []byte) (string, error) {
	rest, ok := bytes.CutPrefix(body, []byte("\x05READY"))
	if flags&flagCommand == 0 || !ok {
		return "", fmt.Errorf("expected READY, got %.40q", body)
	}
	for len(rest) > 0 {
		n := int(rest[0]) + 1
		if len(rest) < n+4 {
			break
		}
		size := binary.BigEndian.Uint32(rest[n:])
		if uint64(len(rest)-n-4) < uint64(size) {
			break
		}
		if strings.EqualFold(string(rest[1:n]), "Socket-Type") {
			return string(rest[n+4 : n+4+int(size)]), nil
		}
		rest = rest[n+4+int(size):]
	}
	return "", errors.New("READY names no socket type")
}

// subscribe asks a PUB socket for messages whose topic begins so. In ZMTP 3.0 that is a message, not a command.
func (p *peer) subscribe(topic string) error { return p.write(0, append([]byte{1}, topic...)) }

// send sends one message.
func (p *peer) send(frames ...[]byte) error {
	for i, frame := range frames {
		flags := byte(flagMore)
		if i == len(frames)-1 {
			flags = 0
		}
		if err := p.write(flags, frame); err != nil {
			return err
		}
	}
	return nil
}

func (p *peer) write(flags byte, body []byte) error {
	var out []byte
	if len(body) > 255 {
		out = binary.BigEndian.AppendUint64([]byte{flags | flagLong}, uint64(len(body)))
	} else {
		out = []byte{flags, byte(len(body))}
	}
	if err := p.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := p.conn.Write(append(out, body...))
	return err
}

// receive waits for the next message. Its frames are good until the next call.
func (p *peer) receive() ([][]byte, error) {
	p.frames, p.memory = p.frames[:0], p.memory[:0]
	if cap(p.memory) > 1<<20 {
		p.memory = nil // an unusually large message
	}
	total := 0
	for {
		before := len(p.memory)
		flags, body, err := p.frame(maxMessage - total)
		if err != nil {
			return nil, err
		}
		if flags&flagCommand != 0 {
			if err := p.command(body); err != nil {
				return nil, err
			}
			p.memory = p.memory[:before]
			continue
		}
		total += len(body)
		p.frames = append(p.frames, body)
		if flags&flagMore == 0 {
			return p.frames, nil
		}
		if len(p.frames) == maxFrames {
			return nil, fmt.Errorf("a message of more than %d frames", maxFrames)
		}
	}
}

// command answers the heartbeats of engines that send them and ignores what else there is.
func (p *peer) command(body []byte) error {
	if ping, ok := bytes.CutPrefix(body, []byte("\x04PING")); ok && len(ping) >= 2 && len(ping) <= 2+16 {
		return p.write(flagCommand, append([]byte("\x04PONG"), ping[2:]...))
	}
	if reason, ok := bytes.CutPrefix(body, []byte("\x05ERROR")); ok {
		return fmt.Errorf("the other side refuses: %.200q", reason)
	}
	return nil
}

// frame reads one frame of at most so many bytes. Its body is good until the next message.
func (p *peer) frame(most int) (flags byte, body []byte, err error) {
	if flags, err = p.in.ReadByte(); err != nil {
		return 0, nil, err
	}
	var size uint64
	if flags&flagLong != 0 {
		var long [8]byte
		if _, err = io.ReadFull(p.in, long[:]); err != nil {
			return 0, nil, err
		}
		size = binary.BigEndian.Uint64(long[:])
	} else {
		short, err := p.in.ReadByte()
		if err != nil {
			return 0, nil, err
		}
		size = uint64(short)
	}
	if size > uint64(max(most, 0)) {
		return 0, nil, fmt.Errorf("a frame of %d bytes is too large", size)
	}
	body, err = p.read(int(size))
	return flags, body, err
}

// read takes n bytes off the connection. Memory grows with what has come, not with what is announced.
func (p *peer) read(n int) ([]byte, error) {
	const step = 256 << 10
	first := len(p.memory)
	for n > 0 {
		piece := min(n, step)
		at := len(p.memory)
		p.memory = slices.Grow(p.memory, piece)[:at+piece]
		if _, err := io.ReadFull(p.in, p.memory[at:]); err != nil {
			return nil, err
		}
		n -= piece
	}
	// Earlier frames of the message keep the memory they were read into when this one has moved.
	return p.memory[first:len(p.memory):len(p.memory)], nil
}

func (p *peer) close() { _ = p.conn.Close() }

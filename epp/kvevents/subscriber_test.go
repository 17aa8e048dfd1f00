package kvevents_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard/switchyard/epp/kvevents"
	"github.com/switchyard/switchyard/epp/kvevents/kveventstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// notes is a sink that writes down what it is told.
type notes struct {
	mu   sync.Mutex
	list []string
}

func (n *notes) note(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, text)
}

func (n *notes) Clear() { n.note("clear") }

func (n *notes) Apply(events []kvevents.Event) {
	for _, e := range events {
		n.note(fmt.Sprint(e.Hashes))
	}
}

func (n *notes) all() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.list, " ")
}

// await waits until what was noted since the last "clear" is this.
func (n *notes) await(t *testing.T, want string) {
	t.Helper()
	eventually(t, func() bool {
		all := n.all()
		if at := strings.LastIndex(all, "clear"); at >= 0 {
			all = strings.TrimSpace(all[at+len("clear"):])
		}
		return all == want
	}, func() string { return fmt.Sprintf("noted %q, want %q at the end", n.all(), want) })
}

func eventually(t *testing.T, is func() bool, otherwise func() string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatal(otherwise())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func options(patience time.Duration) *kvevents.Options {
	return kvevents.NewOptions("kv@", kvevents.NewMetrics(), quiet()).Quick(patience)
}

// follow runs a subscriber of an engine until the test ends.
func follow(t *testing.T, e *kveventstest.Engine, replay string, patience time.Duration) *notes {
	t.Helper()
	n := &notes{}
	s := kvevents.NewSubscriber(options(patience), "engine", e.Address(), replay, n)
	run(t, s.Run)
	return n
}

func run(t *testing.T, f func(context.Context)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// block is an event that a block of this name is there.
func block(name uint64) []byte { return kveventstest.Stored([]uint64{name}, nil, []int{1}, 1) }

func TestSubscriberFollows(t *testing.T) {
	e := kveventstest.Listen(t, "127.0.0.1:0", "pod", false)
	n := follow(t, e, "", time.Hour)
	e.AwaitSubscribers(1)
	e.Publish(block(1), block(2))
	e.Publish(block(3))
	n.await(t, "[1] [2] [3]")
	if strings.Contains(n.all(), "clear") {
		t.Errorf("cleared without a reason: %s", n.all())
	}
}

func TestGapWithoutReplayClears(t *testing.T) {
	e := kveventstest.Listen(t, "127.0.0.1:0", "pod", false)
	n := follow(t, e, "", time.Hour)
	e.AwaitSubscribers(1)
	e.Publish(block(1))
	n.await(t, "[1]")
	e.Lose(block(2))
	e.Publish(block(3))
	n.await(t, "[3]")
	if n.all() != "[1] clear [3]" {
		t.Errorf("noted %q", n.all())
	}
}

func TestNumbersThatGoBackClear(t *testing.T) {
	e := kveventstest.Listen(t, "127.0.0.1:0", "pod", false)
	n := follow(t, e, "", time.Hour)
	e.AwaitSubscribers(1)
	e.Publish(block(1))
	e.Publish(block(2))
	n.await(t, "[1] [2]")
	e.Restart()
	e.Publish(block(3))
	n.await(t, "[3]")
	if n.all() != "[1] [2] clear [3]" {
		t.Errorf("noted %q", n.all())
	}
}

func TestReplayAtTheBeginningAndAfterAGap(t *testing.T) {
	e := kveventstest.Listen(t, "127.0.0.1:0", "pod", true)
	e.Lose(block(1)) // before anybody listened
	e.Lose(block(2))
	e.Drop(1) // the buffer does not reach back to number 0
	n := follow(t, e, e.Replay(), time.Hour)
	n.await(t, "[2]")
	e.AwaitSubscribers(1)
	e.Lose(block(3))
	e.Publish(block(4))
	n.await(t, "[2] [3] [4]")
	e.Publish(block(5))
	n.await(t, "[2] [3] [4] [5]")
}

// models is a sink that writes down of which models it is told.
type models struct{ notes }

func (m *models) Apply(events []kvevents.Event) {
	for _, e := range events {
		m.note(e.Model)
	}
}

func TestReplayNamesTheModel(t *testing.T) {
	e := kveventstest.Listen(t, "127.0.0.1:0", "pod", true)
	e.Lose(block(1)) // nobody listened
	m := &models{}
	run(t, kvevents.NewSubscriber(options(time.Hour), "pod", e.Address(), e.Replay(), m).Run)
	m.await(t, "model")
}

// TestWhatAReplayHadComesAgain has a message arrive that the replay before it brought already.
func TestWhatAReplayHadComesAgain(t *testing.T) {
	e := kveventstest.Listen(t, "127.0.0.1:0", "pod", true)
	n := follow(t, e, e.Replay(), time.Hour)
	e.AwaitSubscribers(1)
	eventually(t, func() bool { return e.Replays() == 1 }, func() string { return "nobody asked for a replay" })
	e.Publish(block(1))
	n.await(t, "[1]")
	e.Lose(block(2))
	e.Publish(block(3))
	e.Repeat()
	e.Publish(block(4))
	n.await(t, "[1] [2] [3] [4]")
	if e.Replays() != 2 {
		t.Errorf("asked %d times", e.Replays())
	}
}

func TestReplayThatNoLongerHasIt(t *testing.T) {
	e := kveventstest.Listen(t, "127.0.0.1:0", "pod", true)
	n := follow(t, e, e.Replay(), time.Hour)
	e.AwaitSubscribers(1)
	eventually(t, func() bool { return e.Replays() == 1 }, func() string { return "nobody asked for a replay" })
	e.Publish(block(1))
	n.await(t, "[1]")
	e.Lose(block(2))
	e.Lose(block(3))
	e.Drop(1)
	e.Publish(block(4))
	n.await(t, "[3] [4]") // cleared, and what is still there
	if strings.Count(n.all(), "[1]") != 1 {
		t.Errorf("noted %q", n.all())
	}
}

func TestReconnectResumes(t *testing.T) {
	e := kveventstest.Listen(t, "127.0.0.1:0", "pod", true)
	n := follow(t, e, e.Replay(), time.Hour)
	e.AwaitSubscribers(1)
	e.Publish(block(1))
	n.await(t, "[1]")
	e.Disconnect()
	e.Lose(block(2))
	n.await(t, "[1] [2]")
}

func TestReconnectToAnotherIncarnation(t *testing.T) {
	e := kveventstest.Listen(t, "127.0.0.1:0", "pod", true)
	n := follow(t, e, e.Replay(), time.Hour)
	e.AwaitSubscribers(1)
	e.Publish(block(1))
	n.await(t, "[1]")
	// It has as many messages as the one before: only their content tells.
	e.Restart()
	e.Lose(block(7))
	e.Disconnect()
	n.await(t, "[7]")
	if !strings.Contains(n.all(), "[1]") || !strings.Contains(n.all(), "clear [7]") {
		t.Errorf("noted %q", n.all())
	}
}

func TestAnEngineThatStaysAwayIsForgotten(t *testing.T) {
	e := kveventstest.Listen(t, "127.0.0.1:0", "pod", false)
	n := follow(t, e, "", 50*time.Millisecond)
	e.AwaitSubscribers(1)
	e.Publish(block(1))
	n.await(t, "[1]")
	e.Close()
	n.await(t, "")
}

func TestAnUnreadableMessageClears(t *testing.T) {
	e := kveventstest.Listen(t, "127.0.0.1:0", "pod", false)
	n := follow(t, e, "", time.Hour)
	e.AwaitSubscribers(1)
	e.Publish(block(1))
	e.PublishRaw([]byte("garbage"))
	e.Publish(block(2))
	n.await(t, "[2]")
	if n.all() != "[1] clear [2]" {
		t.Errorf("noted %q", n.all())
	}
}

func TestRunAgainGoesOn(t *testing.T) {
	e := kveventstest.Listen(t, "127.0.0.1:0", "pod", false)
	n := &notes{}
	s := kvevents.NewSubscriber(options(time.Hour), "engine", e.Address(), "", n)
	stop := run(t, s.Run)
	e.AwaitSubscribers(1)
	e.Publish(block(1))
	n.await(t, "[1]")
	stop()
	e.AwaitSubscribers(0)
	run(t, s.Run)
	e.AwaitSubscribers(1)
	e.Publish(block(2))
	n.await(t, "[1] [2]")
}

// TestOthersAreDisconnected has everything but a good engine answer: nothing may hang, grow or be believed.
func TestOthersAreDisconnected(t *testing.T) {
	for name, answer := range map[string]func(net.Conn){
		"not ZMTP": func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n" + strings.Repeat(" ", 64))) },
		"a SUB":    func(c net.Conn) { _, _ = kveventstest.Shake(c, "SUB") },
		"a huge frame": func(c net.Conn) {
			if in, err := kveventstest.Shake(c, "PUB"); err == nil {
				_, _, _ = kveventstest.ReadFrame(in)
				_, _ = c.Write([]byte{2, 0, 0, 1, 0, 0, 0, 0, 0})
			}
		},
		"frames without end": func(c net.Conn) {
			if in, err := kveventstest.Shake(c, "PUB"); err == nil {
				_, _, _ = kveventstest.ReadFrame(in)
				for _, err := c.Write([]byte{1, 0}); err == nil; _, err = c.Write([]byte{1, 0}) {
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			tried := 0
			var serving sync.WaitGroup
			serving.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					serving.Go(func() {
						answer(c)
						_, _ = io.Copy(io.Discard, c) // until the other side goes
						_ = c.Close()
						mu.Lock()
						tried++
						mu.Unlock()
					})
				}
			})
			n := &notes{}
			stop := run(t, kvevents.NewSubscriber(options(time.Hour), "engine", l.Addr().String(), "", n).Run)
			eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return tried >= 2 }, func() string { return "it hangs on to the connection" })
			stop()
			_ = l.Close()
			serving.Wait()
			if n.all() != "" {
				t.Errorf("noted %q", n.all())
			}
		})
	}
}

func TestHub(t *testing.T) {
	sinks := map[string]*notes{"a": {}, "b": {}}
	resolve := func(pod string, rank int) (string, kvevents.Sink, bool) {
		n, ok := sinks[pod]
		return pod, n, ok && rank == 0
	}
	hub := kvevents.NewHub(options(time.Hour), "tcp://*:0", resolve)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	run(t, func(ctx context.Context) { _ = kvevents.Accept(hub, ctx, l) })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	in, err := kveventstest.Shake(c, "PUB")
	if err != nil {
		t.Fatal(err)
	}
	if topic, _, err := kveventstest.ReadFrame(in); err != nil || string(topic) != "\x01kv@" {
		t.Fatalf("subscribed to %q, error %v", topic, err)
	}
	for _, m := range []struct {
		topic string
		seq   byte
		name  uint64
	}{{"kv@a@m", 5, 1}, {"kv@b@m", 0, 2}, {"kv@c@m", 0, 3}, {"kv@a@m", 6, 4}, {"kv@b@m", 2, 5}} {
		if _, err := c.Write(kveventstest.Message([]byte(m.topic), []byte{0, 0, 0, 0, 0, 0, 0, m.seq}, kveventstest.Batch(block(m.name)))); err != nil {
			t.Fatal(err)
		}
	}
	sinks["b"].await(t, "[5]")
	if a, b := sinks["a"].all(), sinks["b"].all(); a != "[1] [4]" || b != "[2] clear [5]" {
		t.Errorf("a noted %q, b %q", a, b)
	}
}

// TestHubTellsRanksApart, which number their messages each for itself.
func TestHubTellsRanksApart(t *testing.T) {
	n := &notes{}
	hub := kvevents.NewHub(options(time.Hour), "tcp://*:0", func(pod string, _ int) (string, kvevents.Sink, bool) { return pod, n, true })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	run(t, func(ctx context.Context) { _ = kvevents.Accept(hub, ctx, l) })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	in, err := kveventstest.Shake(c, "PUB")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := kveventstest.ReadFrame(in); err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		rank int
		seq  byte
		name uint64
	}{{0, 7, 1}, {1, 2, 2}, {0, 8, 3}, {1, 3, 4}, {1, 5, 5}} {
		payload := kveventstest.Pack([]any{1.5, []any{kveventstest.Raw(block(m.name))}, m.rank})
		if _, err := c.Write(kveventstest.Message([]byte("kv@a@m"), []byte{0, 0, 0, 0, 0, 0, 0, m.seq}, payload)); err != nil {
			t.Fatal(err)
		}
	}
	n.await(t, "[5]")
	if all := n.all(); all != "[1] [2] [3] [4] clear [5]" {
		t.Errorf("noted %q", all)
	}
	hub.Forget(n)
}

func TestParseEndpoint(t *testing.T) {
	for endpoint, want := range map[string]string{
		"tcp://*:5557": ":5557 listen", "tcp://0.0.0.0:1": "0.0.0.0:1 listen", "tcp://[::]:1": "[::]:1 listen", "tcp://hub:5557": "hub:5557",
		"tcp://[fd00::1]:2": "[fd00::1]:2", "ipc:///x": "error", "tcp://hub": "error", "tcp://hub:x": "error", "tcp://hub:70000": "error",
	} {
		address, listen, err := kvevents.ParseEndpoint(endpoint)
		got := []string{address}
		if listen {
			got = append(got, "listen")
		}
		if err != nil {
			got = []string{"error"}
		}
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %v, want %s", endpoint, got, want)
		}
	}
}

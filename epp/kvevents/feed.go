package kvevents

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/zeebo/xxh3"
)

// Sink is what follows the cache of one server. Its methods are called by one goroutine at a time, in the order of what
// happened.
type Sink interface {
	// Apply takes changes. They belong to the caller.
	Apply(events []Event)
	// Clear forgets everything: the server holds nothing, or what it holds is no longer known.
	Clear()
}

// Replays bound asking for messages again.
const (
	replayLimit    = 2 * time.Minute
	replayCooldown = 30 * time.Second
	replaysAtOnce  = 8
)

// lastReplay is the sequence number that ends a replay.
const lastReplay = ^uint64(0)

// feed is the numbered messages of one engine. It belongs to one goroutine.
type feed struct {
	name    string
	sink    Sink
	metrics *Metrics
	logger  *slog.Logger

	replay   string        // address of the replay socket, empty: there is none
	replays  chan struct{} // a place for each replay under way
	cooldown time.Duration // between replays after one that failed
	retryAt  time.Time     // of a replay that failed; zero: none is due

	known bool   // some message has been seen
	next  uint64 // number that comes next
	mark  uint64 // hash of the message before it
	// twice is the number below which messages were had by replay already and may come once more.
	twice uint64
	model string // of the topic seen last
	batch Batch
}

// connected is to be called when the engine's messages begin to come, after whatever interruption.
func (f *feed) connected(ctx context.Context) {
	if f.replay == "" {
		return
	}
	if f.known && f.next > 0 && f.resume(ctx) {
		return
	}
	f.restart(ctx, 0)
}

// take is one message.
func (f *feed) take(ctx context.Context, seq uint64, payload []byte) {
	f.metrics.received(f.name)
	if !f.retryAt.IsZero() && !time.Now().Before(f.retryAt) {
		f.restart(ctx, f.next)
	}
	switch {
	case seq < f.twice:
		return
	case !f.known:
		f.next = seq // what was before it is not known, and what hangs on that is not learnt
	case seq > f.next:
		f.logger.Warn("messages of an engine about its KV cache were lost", "engine", f.name, "from", f.next, "to", seq-1)
		f.missed(ctx, seq)
	case seq < f.next:
		f.logger.Info("an engine started anew", "engine", f.name)
		f.restart(ctx, seq)
	}
	if seq < f.next {
		return // the replay had it
	}
	if f.known && seq > f.next {
		f.forget() // the replay ended too early
	}
	f.apply(seq, payload)
}

// missed makes up for the messages before seq, or clears the sink.
func (f *feed) missed(ctx context.Context, seq uint64) {
	if f.replay != "" && f.retryAt.IsZero() {
		if err := f.fetch(ctx, f.next); err == nil && f.next >= seq {
			return
		}
	}
	f.restart(ctx, seq)
}

// restart forgets everything and begins anew: with what the engine still has, or with number seq.
func (f *feed) restart(ctx context.Context, seq uint64) {
	f.forget()
	f.next = seq
	if f.replay == "" || ctx.Err() != nil {
		return
	}
	if !f.retryAt.IsZero() && time.Now().Before(f.retryAt) {
		return
	}
	f.retryAt = time.Time{}
	if err := f.fetch(ctx, 0); err != nil {
		f.metrics.failed(f.name, "replay")
		f.logger.Warn("an engine's messages could not be had again; its KV cache counts as empty until it stores more",
			"engine", f.name, "replay", f.replay, "error", err)
		f.forget()
		f.next = seq
		f.retryAt = time.Now().Add(f.cooldown)
	}
}

// about notes the topic of the next message, kv@<pod>@<model>.
func (f *feed) about(topic []byte) {
	if _, rest, ok := bytes.Cut(topic, []byte("@")); ok {
		if _, model, _ := bytes.Cut(rest, []byte("@")); string(model) != f.model {
			f.model = string(model)
		}
	}
}

// forget drops what the engine has told. As long as it has told nothing there is nothing: what others know of it, where blocks
// are shared, stays.
func (f *feed) forget() {
	if f.known {
		f.sink.Clear()
	}
	f.known, f.twice, f.mark = false, 0, 0
}

// apply passes on the message that is next.
func (f *feed) apply(seq uint64, payload []byte) {
	first := !f.known && seq == 0
	f.known, f.next, f.mark = true, seq+1, xxh3.Hash(payload)
	if err := f.batch.Decode(payload); err != nil {
		f.metrics.failed(f.name, "decode")
		f.logger.Warn("a message of an engine about its KV cache cannot be read; the cache counts as empty now",
			"engine", f.name, "sequence", seq, "error", err)
		f.sink.Clear()
		return
	}
	if f.batch.Unreadable > 0 {
		f.metrics.skippedStores("", "unreadable", f.batch.Unreadable)
	}
	for i := range f.batch.Events {
		f.batch.Events[i].Model, f.batch.Events[i].First = f.model, first && i == 0
	}
	f.sink.Apply(f.batch.Events)
}

var errRestarted = errors.New("the engine has other messages under the same numbers")

// resume takes up again behind the message seen last, if the engine still has that one.
func (f *feed) resume(ctx context.Context) bool {
	err := f.ask(ctx, f.next-1, func(seq uint64, payload []byte) error {
		switch {
		case seq == f.next:
			f.apply(seq, payload)
		case seq != f.next-1 || xxh3.Hash(payload) != f.mark:
			return errRestarted
		}
		return nil
	}, true)
	f.twice = f.next
	return err == nil
}

// fetch asks for the messages from a number on. Of those from 0 on the first may be missing: engines keep so many only.
func (f *feed) fetch(ctx context.Context, from uint64) error {
	err := f.ask(ctx, from, func(seq uint64, payload []byte) error {
		switch {
		case seq == f.next && f.known, !f.known && from == 0:
			f.apply(seq, payload)
		case seq >= f.next:
			return fmt.Errorf("message %d is missing", f.next)
		}
		return nil
	}, false)
	f.twice = f.next
	if !f.known {
		f.twice = 0
	}
	return err
}

// ask has the engine send its messages from a number on. With some, none at all is an error.
func (f *feed) ask(ctx context.Context, from uint64, each func(seq uint64, payload []byte) error, some bool) error {
	select {
	case f.replays <- struct{}{}:
		defer func() { <-f.replays }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, replayLimit)
	defer cancel()
	p, err := dial(ctx, f.replay, "DEALER", "ROUTER", "DEALER", "REP")
	if err != nil {
		return err
	}
	defer p.close()
	stop := context.AfterFunc(ctx, p.close)
	defer stop()
	if err := p.send(nil, binary.BigEndian.AppendUint64(nil, from)); err != nil {
		return err
	}
	for {
		frames, err := p.receive()
		if err != nil {
			return err
		}
		if len(frames) < 2 || len(frames[len(frames)-2]) != 8 {
			return errors.New("the replay socket answers something else")
		}
		seq := binary.BigEndian.Uint64(frames[len(frames)-2])
		if seq == lastReplay {
			if some {
				return errRestarted
			}
			return nil
		}
		some = false
		if len(frames) > 3 { // newer engines send the topic here, too
			f.about(frames[len(frames)-3])
		}
		if err := each(seq, frames[len(frames)-1]); err != nil {
			return err
		}
	}
}

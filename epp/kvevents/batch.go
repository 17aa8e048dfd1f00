package kvevents

import (
	"errors"
	"fmt"
)

// Batch is one message.
type Batch struct {
	// Rank is that of the data-parallel engine process, -1 when not told.
	Rank   int
	Events []Event
	// Unreadable counts events that were passed over because they could not be read.
	Unreadable int
}

// maxEvents bounds the events of one message.
const maxEvents = 1 << 16

var errTooMany = errors.New("more events than a message may have")

// Decode reads a message's payload, [timestamp, events, rank] or a map of the same. An event that stores blocks and cannot
// be read is passed over; one that takes blocks away makes an error, for it must not be missed.
func (b *Batch) Decode(payload []byte) error {
	b.Rank, b.Events, b.Unreadable = -1, b.Events[:0], 0
	r := &reader{b: payload}
	if !r.isArray() {
		return b.decodeMap(r)
	}
	n, err := r.array()
	if err != nil || n < 2 {
		return errors.Join(errKind, err)
	}
	if err := r.skip(); err != nil {
		return err
	}
	if err := b.events(r); err != nil {
		return err
	}
	if n > 2 {
		return b.rank(r)
	}
	return nil
}

func (b *Batch) decodeMap(r *reader) error {
	pairs, err := r.object()
	if err != nil {
		return err
	}
	for range pairs {
		name, err := r.text()
		if err != nil {
			return err
		}
		switch string(name) {
		case "events":
			err = b.events(r)
		case "data_parallel_rank":
			err = b.rank(r)
		default:
			err = r.skip()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *Batch) rank(r *reader) error {
	if !r.isInteger() {
		return r.skip()
	}
	rank, err := r.integer()
	b.Rank = int(int32(rank))
	return err
}

func (b *Batch) events(r *reader) error {
	n, err := r.array()
	if err != nil {
		return err
	}
	if n > maxEvents {
		return errTooMany
	}
	for i := range n {
		start := r.at
		e := b.grow()
		err := e.decode(r)
		switch {
		case err == nil && e.Kind != foreign:
			continue
		case err != nil && e.Kind != Stored && e.Kind != foreign:
			return fmt.Errorf("event %d: %w", i, err)
		case e.Kind == Stored:
			b.Unreadable++
		}
		b.Events = b.Events[:len(b.Events)-1]
		r.at = start
		if err := r.skip(); err != nil {
			return err
		}
	}
	return nil
}

// grow appends an empty event that has the memory of one that was there before.
func (b *Batch) grow() *Event {
	if len(b.Events) < cap(b.Events) {
		b.Events = b.Events[:len(b.Events)+1]
	} else {
		b.Events = append(b.Events, Event{})
	}
	e := &b.Events[len(b.Events)-1]
	*e = Event{Hashes: e.Hashes[:0], Tokens: e.Tokens[:0], Extra: e.Extra[:0], Group: -1}
	return e
}

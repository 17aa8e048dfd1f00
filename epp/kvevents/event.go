package kvevents

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Kind is what an event says.
type Kind uint8

// Stored: blocks are there now. Removed: they are not, any more. Cleared: none is.
const (
	untold Kind = iota // no type has been read yet
	Stored
	Removed
	Cleared
	foreign // a type that says nothing about blocks here
)

// Event is one change of a cache. It is reused: who keeps a part of it copies that.
type Event struct {
	Kind Kind
	// Hashes are the engine's own names of the blocks, one after the other in the prompt.
	Hashes []uint64
	// Parent is the block before the first of them; HasParent is false for the beginning of a prompt.
	Parent    uint64
	HasParent bool
	// Tokens are those of all the blocks, BlockSize of them each.
	Tokens    []uint32
	BlockSize int
	// Medium is where the blocks are, as the engine writes it; empty: not told.
	Medium string
	// LoRA is the adapter that the blocks were computed with, empty for none, "#<id>" where the engine tells only a number.
	LoRA string
	// Extra is what else went into each block's hash, aligned with Hashes where it is not empty.
	Extra [][]string
	// Group is the group of layers that the blocks belong to, -1 when not told.
	Group int
	// Spec is the kind of attention of that group, and Window how far it looks back; empty and 0: not told, or all the way.
	Spec   string
	Window int
}

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

// part is a field of an event.
type part uint8

const (
	partOther part = iota
	partType
	partHashes
	partParent
	partTokens
	partBlockSize
	partLoRAID
	partMedium
	partLoRA
	partExtra
	partGroup
	partSpec
	partWindow
)

// orders are the fields of events that are arrays, after the type.
var orders = map[Kind][]part{
	Stored: {partHashes, partParent, partTokens, partBlockSize, partLoRAID, partMedium, partLoRA, partExtra, partGroup, partSpec,
		partWindow},
	Removed: {partHashes, partMedium, partGroup},
}

// names are the fields of events that are maps.
var names = map[string]part{
	"type": partType, "block_hashes": partHashes, "parent_block_hash": partParent, "token_ids": partTokens,
	"block_size": partBlockSize, "lora_id": partLoRAID, "medium": partMedium, "lora_name": partLoRA, "extra_keys": partExtra,
	"group_idx": partGroup, "kv_cache_spec_kind": partSpec, "kv_cache_spec_sliding_window": partWindow,
}

func (e *Event) decode(r *reader) error {
	if !r.isArray() {
		return e.decodeMap(r)
	}
	n, err := r.array()
	if err != nil || n == 0 {
		return errors.Join(errKind, err)
	}
	if err := e.field(r, partType); err != nil {
		return err
	}
	order := orders[e.Kind]
	for i := range n - 1 {
		p := partOther
		if i < len(order) {
			p = order[i]
		}
		if err := e.field(r, p); err != nil {
			return err
		}
	}
	return e.check()
}

func (e *Event) decodeMap(r *reader) error {
	pairs, err := r.object()
	if err != nil {
		return err
	}
	for range pairs {
		name, err := r.text()
		if err != nil {
			return err
		}
		if err := e.field(r, names[string(name)]); err != nil {
			return err
		}
	}
	return e.check()
}

func (e *Event) check() error {
	if e.Kind == untold {
		return errors.New("it has no type")
	}
	if e.Kind == Stored && len(e.Extra) != 0 && len(e.Extra) != len(e.Hashes) {
		return errors.New("extra_keys are not one for each block")
	}
	return nil
}

func (e *Event) field(r *reader, p part) (err error) {
	if p != partType && r.null() {
		return nil
	}
	var number uint64
	var text []byte
	switch p {
	case partType:
		text, err = r.text()
		e.Kind = kindOf(text)
	case partHashes:
		err = e.hashes(r)
	case partParent:
		e.Parent, err = hash(r)
		e.HasParent = true
	case partTokens:
		err = e.tokens(r)
	case partBlockSize:
		number, err = r.integer()
		e.BlockSize = int(min(number, 1<<20))
	case partLoRAID:
		number, err = r.integer()
		if e.LoRA == "" && err == nil {
			e.LoRA = fmt.Sprintf("#%d", int64(number))
		}
	case partMedium:
		text, err = r.text()
		e.Medium = intern(text)
	case partLoRA:
		text, err = r.text()
		e.LoRA = string(text)
	case partExtra:
		err = e.extra(r)
	case partGroup:
		number, err = r.integer()
		e.Group = int(int32(number))
	case partSpec:
		text, err = r.text()
		e.Spec = intern(text)
	case partWindow:
		number, err = r.integer()
		e.Window = int(min(number, 1<<30))
	default:
		err = r.skip()
	}
	return err
}

func kindOf(name []byte) Kind {
	switch string(name) {
	case "BlockStored":
		return Stored
	case "BlockRemoved":
		return Removed
	case "AllBlocksCleared":
		return Cleared
	}
	return foreign
}

// common are the values that events repeat.
var common = map[string]string{}

func init() {
	for _, text := range []string{"GPU", "gpu", "CPU", "cpu", "full_attention", "mla_attention", "sliding_window", "mamba"} {
		common[text] = text
	}
}

// intern is the text as a string, without new memory for those that events repeat.
func intern(text []byte) string {
	if known, ok := common[string(text)]; ok {
		return known
	}
	return string(text)
}

func (e *Event) hashes(r *reader) error {
	n, err := r.array()
	if err != nil {
		return err
	}
	for range n {
		h, err := hash(r)
		if err != nil {
			return err
		}
		e.Hashes = append(e.Hashes, h)
	}
	return nil
}

// hash reads a block hash: an integer, or bytes of which the last 8 count.
func hash(r *reader) (uint64, error) {
	if r.isInteger() {
		return r.integer()
	}
	raw, err := r.text()
	if err != nil {
		return 0, err
	}
	var last [8]byte
	copy(last[max(0, 8-len(raw)):], raw[max(0, len(raw)-8):])
	return binary.BigEndian.Uint64(last[:]), nil
}

func (e *Event) tokens(r *reader) error {
	n, err := r.array()
	if err != nil {
		return err
	}
	for range n {
		token, err := r.integer()
		if err != nil {
			return err
		}
		e.Tokens = append(e.Tokens, uint32(token))
	}
	return nil
}

// extra reads what went into the hashes besides tokens: for each block nothing, or a list. Of nested lists the texts count.
func (e *Event) extra(r *reader) error {
	n, err := r.array()
	if err != nil {
		return err
	}
	for range n {
		var texts []string
		if !r.null() {
			if texts, err = collect(r, nil, 0); err != nil {
				return err
			}
		}
		e.Extra = append(e.Extra, texts)
	}
	return nil
}

// collect gathers the texts of a value.
func collect(r *reader, into []string, depth int) ([]string, error) {
	switch {
	case r.isText():
		text, err := r.text()
		return append(into, string(text)), err
	case r.isArray() && depth < 4:
		n, err := r.array()
		for i := 0; i < n && err == nil; i++ {
			into, err = collect(r, into, depth+1)
		}
		return into, err
	}
	return into, r.skip()
}

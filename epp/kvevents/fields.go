package kvevents

import (
	"errors"
	"fmt"
)

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
	partSalt
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
	"group_idx": partGroup, "kv_cache_spec_kind": partSpec, "kv_cache_spec_sliding_window": partWindow, "cache_salt": partSalt,
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
	e.addSalt()
	e.salt = ""
	return nil
}

// addSalt has the salt stand where vLLM puts it, with the first block of a prompt; SGLang gives it beside.
func (e *Event) addSalt() {
	if e.salt == "" || e.Kind != Stored || e.HasParent || len(e.Hashes) == 0 {
		return
	}
	for len(e.Extra) < len(e.Hashes) {
		e.Extra = append(e.Extra, nil)
	}
	e.Extra[0] = append(e.Extra[0], e.salt)
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
	case partSalt:
		text, err = r.text()
		e.salt = string(text)
	case partWindow:
		number, err = r.integer()
		e.Window = int(min(number, 1<<30))
	default:
		err = r.skip()
	}
	return err
}

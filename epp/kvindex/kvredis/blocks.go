package kvredis

import (
	"github.com/redis/go-redis/v9"

	"github.com/switchyard/switchyard/epp/kvevents"
	"github.com/switchyard/switchyard/epp/kvindex"
)

// apply adds the commands for one event.
func (s *Store) apply(b *batch, at *server, e *kvevents.Event) error {
	if e.First {
		s.clear(at)
	}
	switch e.Kind {
	case kvevents.Stored:
		if reason, err := s.store(b, at, e); err != nil {
			return err
		} else if reason != "" {
			b.skipped = append(b.skipped, [2]string{e.Spec, reason})
		}
	case kvevents.Removed:
		return s.remove(b, at, e)
	case kvevents.Cleared:
		s.clear(at)
	}
	return nil
}

// maxParts bounds the keys of one block of an engine.
const maxParts = 1 << 10

func (s *Store) store(b *batch, at *server, e *kvevents.Event) (skipped string, err error) {
	switch {
	case at.groups.Pass(e):
		return "cache_kind", nil
	case kvindex.Elsewhere(e):
		return s.copied(b, at, e)
	}
	parts, skipped := at.groups.Parts(s.hasher, e)
	switch {
	case skipped != "":
		return skipped, nil
	case parts > maxParts:
		return "block_size", nil
	}
	parent, reason := s.before(at, e)
	if reason != "" {
		return reason, nil
	}
	b.keys, skipped = s.hasher.Stored(b.keys[:0], e, parent)
	field := at.field(e)
	for first := 0; first < len(b.keys); first += parts {
		if err := s.hold(b, at, e.Hashes[first/parts], b.keys[first:min(first+parts, len(b.keys))], field); err != nil {
			return "", err
		}
	}
	return skipped, nil
}

// copied adds that blocks are in another place, too. It gives the reason when it does not know all of them.
func (s *Store) copied(b *batch, at *server, e *kvevents.Event) (skipped string, err error) {
	if at.groups.Passed(e) {
		return "cache_kind", nil
	}
	field := at.field(e)
	for _, hash := range e.Hashes {
		var known bool
		if b.keys, known = s.cache.all(b.keys[:0], at.id, hash, at.groups.PerBlock()); !known {
			skipped = "tokens"
			continue
		}
		if err := s.hold(b, at, hash, b.keys, field); err != nil {
			return "", err
		}
	}
	return skipped, nil
}

// hold adds that a server has a block, whose keys are in order. The name goes last: nobody takes it away before its blocks are
// there.
func (s *Store) hold(b *batch, at *server, hash uint64, keys []uint64, field string) error {
	members := make([]redis.Z, len(keys))
	for part, key := range keys {
		b.stored = append(b.stored, b.pipe.HSet(b.ctx, blockKey(key), field, ""))
		s.sweep.note(at.names[0], key)
		members[part] = redis.Z{Score: float64(part), Member: blockKey(key)}
		s.cache.put(name{hash, at.id, uint32(part)}, key)
	}
	b.pipe.ZAdd(b.ctx, engineKey(hash), members...)
	return b.send(false)
}

// before is the key of what stands before the blocks that an event stores, or the reason why there is none.
func (s *Store) before(at *server, e *kvevents.Event) (key uint64, skipped string) {
	if e.HasParent {
		key, ok := s.cache.get(name{e.Parent, at.id, uint32(at.groups.PerBlock() - 1)})
		if !ok {
			return 0, "parent"
		}
		return key, ""
	}
	model := e.LoRA
	if model == "" {
		model = e.Model
	}
	if model == "" {
		return 0, "model"
	}
	return s.hasher.Root(model), ""
}

func (s *Store) remove(b *batch, at *server, e *kvevents.Event) error {
	if at.groups.Passed(e) {
		s.metrics.Events.SkippedRemoval("", "cache_kind")
		return nil
	}
	field := at.field(e)
	for _, hash := range e.Hashes {
		var known bool
		if b.keys, known = s.cache.all(b.keys[:0], at.id, hash, at.groups.PerBlock()); !known {
			continue
		}
		b.takeField(engineKey(hash), b.keys, field)
		if err := b.send(false); err != nil {
			return err
		}
	}
	return nil
}

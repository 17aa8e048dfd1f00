package kvredis

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard/switchyard/epp/kvindex"
)

// page is about how many keys are looked at between two writes.
const page = 500

// maxFresh bounds the blocks that a server may be told of while it is swept; further ones may be swept away.
const maxFresh = 1 << 20

// sweep takes the blocks of servers, by their names, out of the database. One pass over all keys is for all servers that were
// there when it began.
type sweep struct {
	now, next map[string]bool
	fresh     map[string]map[uint64]struct{} // blocks written since the server was cleared last
	cursor    uint64
}

func (w *sweep) due() bool { return len(w.now) > 0 || len(w.next) > 0 }

// clear has all that a server held taken out.
func (s *Store) clear(at *server) {
	s.queue.found(at)
	at.groups = kvindex.Groups{}
	s.sweep.clear(at.names[0])
}

func (w *sweep) clear(server string) {
	if w.next == nil {
		w.next = map[string]bool{}
	}
	if w.fresh == nil {
		w.fresh = map[string]map[uint64]struct{}{}
	}
	w.next[server], w.fresh[server] = true, map[uint64]struct{}{}
}

// note tells that a block is held, whatever is found.
func (w *sweep) note(server string, key uint64) {
	if fresh := w.fresh[server]; fresh != nil && len(fresh) < maxFresh {
		fresh[key] = struct{}{}
	}
}

// sweepOn looks at the next keys, if there is a reason to.
func (s *Store) sweepOn(ctx context.Context, writer *redis.Client) error {
	w := &s.sweep
	if !w.due() {
		return nil
	}
	if len(w.now) == 0 {
		w.now, w.next, w.cursor = w.next, nil, 0
	}
	keys, next, err := writer.Scan(ctx, w.cursor, "*", page).Result()
	if err != nil {
		return err
	}
	if err := s.sweepKeys(ctx, writer, keys); err != nil {
		return err
	}
	if w.cursor = next; next != 0 {
		return nil
	}
	for server := range w.now {
		if !w.next[server] {
			delete(w.fresh, server)
		}
	}
	w.now = nil
	return nil
}

// sweepKeys takes what the servers of this pass had out of some blocks, and drops names that lead to no block.
func (s *Store) sweepKeys(ctx context.Context, writer *redis.Client, keys []string) error {
	pipe := writer.Pipeline()
	blocks, engines := map[uint64]*redis.StringSliceCmd{}, map[string]*redis.StringSliceCmd{}
	for _, text := range keys {
		if key, ok := parseKey(text); ok {
			blocks[key] = pipe.HKeys(ctx, text)
		} else if strings.HasPrefix(text, engineKeys) {
			engines[text] = pipe.ZRange(ctx, text, 0, maxParts-1)
		}
	}
	if pipe.Len() == 0 {
		return nil
	}
	_, _ = pipe.Exec(ctx)
	b := &batch{ctx: ctx, writer: writer, pipe: writer.Pipeline()}
	for key, answer := range blocks {
		if err := unanswered(answer.Err()); err != nil {
			return err
		}
		if fields := s.swept(key, answer.Val()); len(fields) > 0 {
			b.stored = append(b.stored, b.pipe.HDel(ctx, blockKey(key), fields...))
		}
	}
	for text, answer := range engines {
		if err := unanswered(answer.Err()); err != nil {
			return err
		}
		if left := parseKeys(answer.Val()); len(left) > 0 {
			b.takeField(text, left, "")
		}
	}
	if err := b.send(true); err != nil {
		return err
	}
	s.metrics.Evicted(b.admitted) // of the commands above
	return nil
}

// swept are the fields of a block that are to go.
func (s *Store) swept(key uint64, fields []string) (gone []string) {
	for _, field := range fields {
		e, ok := parseField(field)
		if !ok || !s.sweep.now[e.PodIdentifier] {
			continue
		}
		if _, fresh := s.sweep.fresh[e.PodIdentifier][key]; !fresh {
			gone = append(gone, field)
		}
	}
	return gone
}

func parseKeys(texts []string) (keys []uint64) {
	for _, text := range texts {
		if key, ok := parseKey(text); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// parseKey reads the key of a block: a number without anything around it.
func parseKey(text string) (uint64, bool) {
	key, err := strconv.ParseUint(text, 10, 64)
	return key, err == nil && strconv.FormatUint(key, 10) == text
}

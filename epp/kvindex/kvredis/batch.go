package kvredis

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// batch is a number of commands that are sent together, and what their answers mean.
type batch struct {
	ctx               context.Context
	writer            *redis.Client
	pipe              redis.Pipeliner
	stored            []*redis.IntCmd // fields that were new
	dropped           []*redis.Cmd    // fields that were there
	skipped           [][2]string     // kind of cache and reason of what is not stored
	admitted, evicted int
	keys              []uint64
}

// send sends the commands when there are many, or now.
func (b *batch) send(now bool) error {
	if b.pipe.Len() == 0 || !now && b.pipe.Len() < maxCommands {
		return nil
	}
	commands, _ := b.pipe.Exec(b.ctx)
	for _, command := range commands {
		if err := unanswered(command.Err()); err != nil {
			return err
		}
	}
	for _, answer := range b.stored {
		b.admitted += int(answer.Val())
	}
	for _, answer := range b.dropped {
		n, _ := answer.Int()
		b.evicted += n
	}
	b.stored, b.dropped = b.stored[:0], b.dropped[:0]
	return nil
}

// takeField adds the command that takes a field out of the blocks of an engine's name.
func (b *batch) takeField(engine string, blocks []uint64, field string) {
	keys := make([]string, 1, 1+len(blocks))
	keys[0] = engine
	for _, key := range blocks {
		keys = append(keys, blockKey(key))
	}
	b.dropped = append(b.dropped, take.EvalSha(b.ctx, b.pipe, keys, field))
}

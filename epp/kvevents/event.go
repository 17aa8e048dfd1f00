package kvevents

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
	// Model is the model that the topic of the message names; empty: it names none, or came by replay before any topic from an
	// engine that repeats no topics.
	Model string
	// First is set on the first event that the engine ever told, as far as is known: what others know of it is older.
	First bool
	// Extra is what else went into each block's hash, aligned with Hashes where it is not empty.
	Extra [][]string
	// Group is the group of layers that the blocks belong to, -1 when not told.
	Group int
	// Spec is the kind of attention of that group, and Window how far it looks back; empty and 0: not told, or all the way.
	Spec   string
	Window int

	salt string
}

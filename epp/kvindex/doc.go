// Package kvindex knows which blocks of which prompts model servers hold, as the servers themselves tell it. It must not
// know how the telling comes about, nor what an endpoint is: a server is an ordinal that it gives out itself.
//
//	kvevents -> Server.Apply -> shards; prompt tokens -> Hasher.Prompt -> keys -> Index.Match -> how much each server holds
//
// Engines name blocks by hashes of their own, which differ between engines and versions. They also tell the tokens of what
// they store, so the names are used only to find a block again when it is removed; what is matched is a key that is computed
// here, from the tokens, alike for events and for requests.
//
// Other than the approximate index (package prefix), in which a server holds either all of a prompt's beginning or none of
// it, blocks come and go one by one here: a match walks the keys from the first on and ends where nobody goes on.
//
// # What counts as held
//
// A block that a group of full attention holds. Groups with a window, or with a state in place of a cache, drop the
// beginning of a prompt while it can still be used, and are passed over; so are groups whose blocks have another size than the
// first that a server tells. A block whose parent is not known cannot be given a key and is not taken in; nor is one beyond the
// capacity. A copy of a block in another tier, of which engines tell no tokens, counts where the block is known. In doubt a
// server holds too little, never too much.
//
// # Locks
//
// One per server, for the engine's names, and one per shard of the keys. A server's lock may be held while a shard's is
// taken, never the other way round; a match takes shard locks only, one at a time.
package kvindex

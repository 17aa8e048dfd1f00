// Package prefix is an approximate index of one pool: which model server holds which beginning of which prompt, learnt
// from where this process sent prompts. It must not know what a prompt is, nor what a server is beyond its ordinal.
//
//	body.Request.Blocks -> Chain -> Match -> scheduling; the pick -> Add
//
// Keys are chained: a key stands for its block and for everything before it, model and cache salt included. They are those of
// the llm-d Router, so that what is known of them there holds here. Each
// server has its own list of keys, least recently used last, in which a later block of a prompt always stands behind
// an earlier one. What a server is held to have is therefore closed under prefixes at every moment: eviction takes the
// tails of prompts first, as engines do, and a server's share of a prompt can be found by bisection.
//
// Locks: one per server, and many shards of the reverse map (key to servers). Match takes only shard locks, one at a
// time; Add takes its server's lock and under it those of the shards in which something changes. Nothing takes a
// server's lock while it holds a shard's.
package prefix

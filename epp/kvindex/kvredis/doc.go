// Package kvredis keeps the blocks of model servers in Redis or Valkey, where all replicas of the picker see what each of them
// has heard. It is a kvindex.Shared. It must not have a pick wait for longer than Patience, nor hold events up, nor show what
// the address has for a password.
//
//	events -> queue -> Run: pipelined writes, sweeps -> Redis -> Store.Read -> kvindex.Index.Match
//
// # Layout
//
// It is the llm-d Router's, so that its replicas may use the same database. A block is a hash under its key in decimal, with a
// field for each server, tier and group: a JSON object that names them; values are empty. What engines call blocks leads
// to keys: engine:<hash> in decimal is a sorted set of them, in order. Keys depend on the model that the topics of events
// name (kv@<pod>@<model>), or the adapter, which is what requests must call it. Nothing expires: give the database a
// maxmemory and the policy allkeys-lru.
//
// # In doubt
//
// A server holds too little, never too much. When events cannot be written for so long that the queue is full, the server's
// blocks are taken out of the database as soon as that goes again; so they are when a server is cleared or goes away. That
// takes a sweep over all keys, page by page between writes. A block that somebody else writes meanwhile may go, too.
package kvredis

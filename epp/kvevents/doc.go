// Package kvevents listens to what model servers say about their KV caches: which blocks they have stored, removed,
// cleared. It must not keep any of it: what an event means is up to its Sink. It speaks just enough of ZMTP 3.0 (the
// protocol of ZeroMQ, NULL mechanism, TCP) to subscribe and to ask for messages again, and reads just enough of msgpack.
//
//	engine PUB socket -> Subscriber (or Hub) -> sequence checked -> Sink.Apply, Sink.Clear
//
// # Nothing lost goes unnoticed
//
// Messages are numbered. One that is missing is asked for again where the engine has a replay socket; where it has none, or
// no longer has the message, the sink is cleared: a server that is thought to hold too little costs a prefix hit, one that is
// thought to hold too much attracts prompts that it does not have. Numbers that go backwards are an engine that started
// anew, and clear the sink, too. After a connection broke, the last message that was seen is asked for once more: when the
// engine no longer has it, or has another one under its number, it started anew meanwhile.
//
// # Bounds
//
// One goroutine per engine, one message of at most 16 MiB at a time. Who sends more, or something else, is disconnected and
// tried again later.
package kvevents

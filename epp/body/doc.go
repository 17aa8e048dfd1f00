// Package body reads a request body once: which model, which limits, how many images, and hashes of its prompt.
//
// It must not decode more than the text of a block at a time: no encoding/json, no maps, no copy of the body, nothing kept but
// what Request holds.
//
//	ext_proc body bytes -> Scan -> Request (model, stream, limits, block hashes) -> prefix keys, scheduling
package body

package main

import (
	"bytes"
	"fmt"

	"google.golang.org/grpc/mem"

	"github.com/switchyard/switchyard/epp/bench/wire"
)

// bytesPerToken is how long a token of a prompt is.
const bytesPerToken = 4

// turns is how many requests a conversation has before another takes its place; they share all but the last twentieth of their prompts.
const turns = 10

// A prompt carries two marks, of the conversation at its start and of the request where what is shared ends. Blocks are chained, so that a
// mark makes everything behind it another prompt. What is between the marks is the same memory for all requests.
const (
	markLength = 16
	markTalk   = "<<<< talk >>>>>>"
	markTurn   = "<<<< turn >>>>>>"
)

// prompt is the shape of a row's prompts: pieces around the two marks.
type prompt struct{ pieces [3][]byte }

// newPrompt makes the shape of prompts of so many tokens, as JSON of a chat; encoded wraps it where it is to be a message.
func newPrompt(count int, encoded func([]byte) []byte) prompt {
	size := count * bytesPerToken
	shared := size / turns / 2 * (2*turns - 1)
	text := wire.Text(markTalk, shared) + wire.Text(markTurn, size-shared)
	whole := encoded(fmt.Appendf(nil, `{"model":"m","messages":[{"role":"user","content":%q}],"max_tokens":1000,"stream":true}`, text))
	first, second := bytes.Index(whole, []byte(markTalk)), bytes.Index(whole, []byte(markTurn))
	return prompt{[3][]byte{whole[:first], whole[first+markLength : second], whole[second+markLength:]}}
}

func plain(body []byte) []byte { return body }

func mark(n int) []byte { return fmt.Appendf(nil, "%-*d", markLength, n) }

// parts are the bytes of one request.
func (p prompt) parts(talk, turn int) [][]byte {
	return [][]byte{p.pieces[0], mark(talk), p.pieces[1], mark(turn), p.pieces[2]}
}

// message is one request for the picker.
func (p prompt) message(talk, turn int) mem.BufferSlice {
	var out mem.BufferSlice
	for _, part := range p.parts(talk, turn) {
		out = append(out, mem.SliceBuffer(part))
	}
	return out
}

// size is the length of a request in bytes.
func (p prompt) size() int {
	return len(p.pieces[0]) + len(p.pieces[1]) + len(p.pieces[2]) + 2*markLength
}

// talks deals requests out to conversations, several of which are under way at a time.
type talks struct{ atOnce int }

// newTalks has each conversation ask about every other second.
func newTalks(rate float64) talks { return talks{max(10, int(2*rate))} }

// talk is the conversation of the n-th request.
func (t talks) talk(n int) int { return n%t.atOnce + n/(t.atOnce*turns)*t.atOnce }

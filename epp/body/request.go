package body

import "strconv"

// Limits bound what is hashed, and tell what cannot be seen in the body.
type Limits struct {
	MaxPromptBytes int // bytes of prompt hashed at most, in whole blocks; 0: no hashes
	BlockBytes     int // bytes per block: tokens per block x 4; 0: no hashes
	VideoTokens    int // what each video counts as, see the function; 0: a video of which nothing is known
}

// Request is what a body says. It is reused: Scan overwrites it.
type Request struct {
	API       API
	Model     string
	Stream    bool
	MaxTokens int64 // most tokens the client wants generated; 0: not given
	// PromptBytes is the size of the prompts seen, hashed or not, at four bytes per token: text is as long as it is in UTF-8 (or,
	// beyond what is hashed, as it stands in the body), a token id counts four, an image what its pixels make, and a video what
	// its frames do.
	PromptBytes int
	CacheSalt   string
	Truncated   bool // the body ended before its JSON did
	// ModelStart and ModelEnd are where the model's value stands in the body, quotes included, so that another name can be
	// put in its place. Both are 0 where there is none, or where the API allows no other name.
	ModelStart, ModelEnd int
	// Images, Videos and Audios count the parts of the messages that are no text.
	Images, Videos, Audios int
	Multimodal             bool // there are such parts
	// Blocks are hashes of the contents of the prompt's blocks, each by itself: prefix.Chain makes keys of them.
	Blocks []uint64
	// Prompts is where each of several prompts ends in Blocks; empty: there is one at most.
	Prompts []int

	lastModel string // kept over Reset: the same model again needs no new string
	noted     noted
	batch     []byte // memory of the hasher
}

// Reset empties the request; it keeps the memory of Blocks.
func (r *Request) Reset() {
	blocks, prompts, model, parts, marks, batch := r.Blocks, r.Prompts, r.lastModel, r.noted.parts, r.noted.marks, r.batch
	if cap(parts) > keptParts {
		parts = nil
	}
	*r = Request{}
	r.Blocks, r.Prompts, r.lastModel, r.batch = blocks[:0], prompts[:0], model, batch
	r.noted.parts, r.noted.marks = parts[:0], marks[:0]
}

// SyntaxError is a body that is not a JSON object.
type SyntaxError struct {
	Offset int // byte at which it went wrong
	Reason string
}

func (e *SyntaxError) Error() string {
	return "error unmarshaling request bodyMap: " + e.Reason + " at byte " + strconv.Itoa(e.Offset)
}

// FieldError is a body that lacks a field, or has one that cannot be used.
type FieldError struct {
	Field   string
	Message string // for the client, says what is expected
}

func (e *FieldError) Error() string { return e.Message }

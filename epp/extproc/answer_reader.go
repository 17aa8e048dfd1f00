package extproc

import (
	"time"

	"github.com/switchyard/switchyard/epp/director"
	"github.com/switchyard/switchyard/epp/usage"
)

// answerReader reads the body of an answer as it passes.
type answerReader struct {
	// usage is nil until there is a body.
	usage *usage.Scanner
}

// read takes the next piece and gives what is to be sent on: that piece, or another where the model's name is restored.
func (r *answerReader) read(x *director.Exchange, f *frame) []byte {
	now := time.Now()
	defer func() { x.Worked(time.Since(now)) }()
	if r.usage == nil {
		r.usage = usage.New(x.API)
		x.Answering(now)
	}
	x.Piece(len(f.body), now)
	r.usage.Write(f.body)
	if f.endOfStream {
		r.end(x)
	}
	if x.Rename == nil {
		return f.body
	}
	return x.Rename.Next(f.body, f.endOfStream)
}

// end notes that the whole answer was seen.
func (r *answerReader) end(x *director.Exchange) {
	x.Complete = true
	if r.usage != nil {
		x.Usage.Merge(r.usage.Found())
	}
}

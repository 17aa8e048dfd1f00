package extproc_test

import (
	"sync"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// witness is an admitter that notes what a decision is made by.
type witness struct {
	mu    sync.Mutex
	seen  []seenCycle
	wants []string
}

// seenCycle is what plugins are told of a request.
type seenCycle struct {
	pool, model, target, fairness, id string
	ttft, tpot                        time.Duration
	priority                          int
	headers                           map[string]string
	maxTokens                         int64
	salt                              string
	stream                            bool
	candidates                        int
}

// watched are the headers that the witness asks for.
var watched = []string{"x-watched", "x-session-id"}

// theWitness is the only one; tests of this package run one after the other.
var theWitness = &witness{wants: watched}

func init() {
	config.RegisterAdmitter("test-witness", func([]byte) (*witness, error) { return theWitness, nil })
}

// RequestHeaders implements scheduling.HeaderReader.
func (w *witness) RequestHeaders() []string { return w.wants }

// Admit implements scheduling.Admitter.
func (w *witness) Admit(c *scheduling.Cycle) error {
	seen := seenCycle{pool: c.Pool, model: c.Request.Model, target: c.TargetModel, fairness: c.Fairness, id: c.RequestID, ttft: c.TTFT, tpot: c.TPOT,
		priority: c.Priority, headers: map[string]string{}, maxTokens: c.Request.MaxTokens, salt: c.Request.CacheSalt, stream: c.Request.Stream,
		candidates: len(c.Candidates)}
	for _, header := range c.Headers {
		seen.headers[header.Name] = header.Value
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, seen)
	return nil
}

// last is what was seen of the latest request; it is forgotten with that.
func (w *witness) last(t *testing.T) seenCycle {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) == 0 {
		t.Fatal("no request came to a decision")
	}
	seen := w.seen[len(w.seen)-1]
	w.seen = nil
	return seen
}

const header = `apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
`

// witnessed is a configuration with the witness and every parser.
const witnessed = header + `
plugins:
- {type: queue-scorer}
- {type: test-witness}
- {type: openai-parser}
- {type: anthropic-parser}
- {type: vllmhttp-parser}
- {type: sglanghttp-parser}
- {type: vllmgrpc-parser}
- {type: vertexai-parser}
- {type: passthrough-parser}
requestHandler:
  parsers: [{pluginRef: openai-parser}, {pluginRef: anthropic-parser}, {pluginRef: vllmhttp-parser}, {pluginRef: sglanghttp-parser},
    {pluginRef: vllmgrpc-parser}, {pluginRef: vertexai-parser}, {pluginRef: passthrough-parser}]
`

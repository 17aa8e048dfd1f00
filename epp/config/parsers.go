package config

import (
	"slices"

	"github.com/switchyard/switchyard/epp/body"
)

// Parsers is the set of APIs whose bodies are read.
type Parsers struct {
	apis uint32
	// passthrough takes what no other parser claims.
	passthrough bool
	types       []string
}

// parserProtocols lists the application protocols of servers whose requests a parser can read, for parsers that cannot
// read those of any.
var parserProtocols = map[string][]string{
	"vllmgrpc-parser": {"kubernetes.io/h2c"},
	"vertexai-parser": {"kubernetes.io/h2c"},
}

// Speak tells whether every parser can read requests to servers of this application protocol; "" is any.
func (p Parsers) Speak(protocol string) bool {
	if protocol == "" {
		return true
	}
	for _, parser := range p.types {
		if spoken, limited := parserProtocols[parser]; limited && !slices.Contains(spoken, protocol) {
			return false
		}
	}
	return true
}

// parserAPIs lists what each parser claims; the passthrough parser claims nothing.
var parserAPIs = map[string][]body.API{
	"openai-parser": {body.ChatCompletions, body.Completions, body.Responses, body.Conversations, body.Embeddings,
		body.ImagesGenerations},
	"anthropic-parser":  {body.Messages, body.CountTokens},
	"vllmhttp-parser":   {body.Generate},
	"sglanghttp-parser": {body.SGLangGenerate},
	"vllmgrpc-parser":   {body.GRPCGenerate, body.GRPCEmbed},
	"vertexai-parser":   {body.VertexChat, body.VertexRawPredict},
	passthroughParser:   nil,
}

const passthroughParser = "passthrough-parser"

// defaultParsers are in force when the file lists none.
var defaultParsers = []string{"openai-parser", "anthropic-parser", "vllmhttp-parser", passthroughParser}

func newParsers(types []string) Parsers {
	parsers := Parsers{types: types}
	for _, parser := range types {
		if parser == passthroughParser {
			parsers.passthrough = true
		}
		for _, api := range parserAPIs[parser] {
			parsers.apis |= 1 << api
		}
	}
	return parsers
}

// Resolve tells how a body sent to a path of api is read: as that API, as Unknown (passed through), or not at all, in
// which case ok is false and the request is to be refused.
func (p Parsers) Resolve(api body.API) (resolved body.API, ok bool) {
	if p.apis&(1<<api) != 0 {
		return api, true
	}
	return body.Unknown, p.passthrough
}

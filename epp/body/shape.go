package body

// shape is what is known of the bodies of an API.
type shape struct {
	prompt        []field // parts of the prompt, in the order in which they are hashed
	labelled      bool    // they are hashed as a list of objects, one for each
	maxTokens     []field // limits on generated tokens, the first given wins
	salt          field   // noField: has none
	saltError     string  // what to say of a salt that is no string; "": it is ignored
	modelOptional bool
	modelFixed    bool    // the server is not sent another model than the client named
	required      []field // one of them must be given
	name          string  // the required field as errors name it
	missing       string  // what to say when none is given
	array         bool    // it must be an array
	tokens        bool    // it must be an array of numbers, unless it is text
	text          bool    // it must be text or an array
	empty         string  // what to say when that array, or text, is empty; "": it may be
}

var shapes = [apiCount]shape{
	Unknown:         {modelOptional: true},
	ChatCompletions: chatShape,
	Completions: {
		prompt:    []field{fieldPrompt},
		maxTokens: []field{fieldMaxTokens},
		salt:      fieldCacheSalt,
		required:  []field{fieldPrompt},
		name:      "prompt",
		missing:   "invalid completions request: must have prompt field",
		text:      true,
		empty:     "invalid completions request: must have prompt field",
	},
	Responses: responsesShape,
	Conversations: {
		prompt:        []field{fieldItems},
		modelOptional: true, // a conversation belongs to no model
		required:      []field{fieldItems},
		name:          "items",
		missing:       "invalid conversations request: must have items field",
		array:         true,
		empty:         "invalid conversations request: must have items field",
	},
	Embeddings: {
		prompt:   []field{fieldInput},
		salt:     fieldCacheSalt,
		required: []field{fieldInput},
		name:     "input",
		missing:  "invalid embeddings request: must have input field",
		text:     true,
		empty:    "invalid embeddings request: must have input field",
	},
	ImagesGenerations: {
		prompt:   []field{fieldPrompt},
		required: []field{fieldPrompt},
		name:     "prompt",
		missing:  "invalid images generations request: must have prompt field",
	},
	VertexChat:       vertex(chatShape),
	VertexRawPredict: vertex(responsesShape),
	Messages:         messagesShape,
	CountTokens:      messagesShape,
	Generate: {
		prompt:        []field{fieldTokenIDs},
		maxTokens:     []field{fieldSamplingMaxTokens},
		salt:          fieldCacheSalt,
		modelOptional: true, // the server has one
		required:      []field{fieldTokenIDs},
		name:          "token_ids",
		missing:       "invalid generate request: must have non-empty token_ids field",
		array:         true,
		tokens:        true,
		empty:         "invalid generate request: must have non-empty token_ids field",
	},
	SGLangGenerate: {
		prompt:        []field{fieldInputIDs, fieldText},
		maxTokens:     []field{fieldSamplingMaxNewTokens},
		salt:          fieldExtraKey,
		saltError:     "unsupported generate request: extra_key must be a string",
		modelOptional: true, // the server has one
		modelFixed:    true,
		required:      []field{fieldInputIDs, fieldText},
		name:          "input_ids",
		missing:       "invalid generate request: input_ids must be provided",
		text:          true,
		tokens:        true,
		empty:         "invalid generate request: input_ids must be provided",
	},
}

var chatShape = shape{
	prompt:    []field{fieldTools, fieldMessages},
	maxTokens: []field{fieldMaxCompletionTokens, fieldMaxTokens},
	salt:      fieldCacheSalt,
	required:  []field{fieldMessages},
	name:      "messages",
	missing:   "invalid chat completions request: must have valid messages field",
	array:     true,
	empty:     "chat-completions request must have at least one message",
}

var responsesShape = shape{
	prompt:    []field{fieldInstructions, fieldTools, fieldInput},
	labelled:  true,
	maxTokens: []field{fieldMaxOutputTokens},
	salt:      fieldCacheSalt,
	required:  []field{fieldInput},
	name:      "input",
	missing:   "invalid responses request: must have input field",
}

// vertex is a shape within a message of Vertex AI: the model is one of the names of a deployment and may be missing, and it is
// not replaced, for that would change the lengths around it.
func vertex(s shape) shape {
	s.modelOptional, s.modelFixed = true, true
	return s
}

var messagesShape = shape{
	prompt:    []field{fieldTools, fieldSystem, fieldMessages},
	maxTokens: []field{fieldMaxTokens},
	salt:      fieldCacheSalt,
	required:  []field{fieldMessages},
	name:      "messages",
	missing:   "invalid messages request: must have at least one message",
	array:     true,
	empty:     "invalid messages request: must have at least one message",
}

// checkPrompt tells whether the field that the API cannot do without is there. In a truncated body it may be missing.
func (r *Request) checkPrompt(body []byte, shape *shape, vals *values) error {
	v := &value{}
	text := shape.text
	for _, f := range shape.required {
		if v = &vals[f]; v.given() {
			text = text && f != fieldInputIDs
			break
		}
	}
	message := ""
	switch {
	case len(shape.required) == 0:
	case !v.given():
		if v.kind == 'n' || !r.Truncated {
			message = shape.missing
		}
	case shape.array && v.kind != '[', text && v.kind != '[' && v.kind != '"', shape.tokens && !text && v.kind != '[':
		message = shape.missing
	case shape.empty != "" && isEmpty(v.in(body)):
		message = shape.empty
	case shape.tokens && v.kind == '[' && !v.cut && !isTokenList(v.in(body)):
		message = shape.missing
	}
	if message == "" {
		return nil
	}
	return &FieldError{Field: shape.name, Message: message}
}

// isEmpty tells whether a raw value is an array with nothing but white space in it, or a string with nothing at all.
func isEmpty(raw []byte) bool {
	if raw[0] != '[' {
		return string(raw) == `""`
	}
	s := scanner{b: raw, i: 1}
	return s.peek() == ']'
}

// detect tells the API by the prompt field of a body, for requests whose path is not known.
func detect(vals *values) API {
	switch {
	case vals[fieldMessages].given() && vals[fieldSystem].given():
		return Messages
	case vals[fieldMessages].given():
		return ChatCompletions
	case vals[fieldPrompt].given():
		return Completions
	case vals[fieldInput].given():
		return Responses
	case vals[fieldTokenIDs].given():
		return Generate
	case vals[fieldInputIDs].given():
		return SGLangGenerate
	case vals[fieldItems].given():
		return Conversations
	}
	return Unknown
}

package tokens

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/switchyard/switchyard/epp/body"
)

// Prompt is a prompt as the model reads it.
type Prompt struct {
	IDs []uint32
	// Features are the images and the like in it, ordered by offset.
	Features []Feature
}

// Feature is something in a prompt that is no text: its tokens are placeholders.
type Feature struct {
	Modality, Hash string
	// Offset is its first token, Length how many it takes.
	Offset, Length int
}

// errSeveral is a request of more than one prompt: their blocks do not follow one another.
var errSeveral = errors.New("a request of several prompts")

// rendered is the answer of a render endpoint.
type rendered struct {
	TokenIDs json.RawMessage `json:"token_ids"`
	Features struct {
		Hashes       map[string][]string `json:"mm_hashes"`
		Placeholders map[string][]struct {
			Offset int `json:"offset"`
			Length int `json:"length"`
		} `json:"mm_placeholders"`
	} `json:"features"`
}

// parseRendered reads the answer of a render endpoint: an object, or a list of one.
func parseRendered(text []byte) (*Prompt, error) {
	var one rendered
	if first := firstByte(text); first == '[' {
		var list []rendered
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, err
		}
		if len(list) != 1 {
			return nil, errSeveral
		}
		one = list[0]
	} else if err := json.Unmarshal(text, &one); err != nil {
		return nil, err
	}
	ids, err := parseIDs(one.TokenIDs)
	if err != nil {
		return nil, fmt.Errorf("token_ids: %w", err)
	}
	prompt := &Prompt{IDs: ids}
	for modality, hashes := range one.Features.Hashes {
		places := one.Features.Placeholders[modality]
		if len(places) != len(hashes) {
			return nil, fmt.Errorf("features: %d hashes and %d placeholders of %q", len(hashes), len(places), modality)
		}
		for i, hash := range hashes {
			prompt.Features = append(prompt.Features, Feature{Modality: modality, Hash: hash, Offset: places[i].Offset, Length: places[i].Length})
		}
	}
	slices.SortFunc(prompt.Features, func(a, b Feature) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Modality, b.Modality))
	})
	return prompt, nil
}

func firstByte(text []byte) byte {
	for _, b := range text {
		if b > ' ' {
			return b
		}
	}
	return 0
}

// FromBody gives the tokens that a body brings itself, for the APIs that take tokens in place of text.
func FromBody(api body.API, raw []byte) (*Prompt, error) {
	given := struct {
		TokenIDs json.RawMessage `json:"token_ids"`
		InputIDs json.RawMessage `json:"input_ids"`
	}{}
	if err := json.Unmarshal(raw, &given); err != nil {
		return nil, err
	}
	text := given.TokenIDs
	if api == body.SGLangGenerate {
		text = given.InputIDs
	}
	ids, err := parseIDs(text)
	if err != nil {
		return nil, err
	}
	return &Prompt{IDs: ids}, nil
}

var errIDs = errors.New("not a list of token ids")

// parseIDs reads a JSON list of numbers, of which a long prompt has 100 000: without reflection.
func parseIDs(text []byte) ([]uint32, error) {
	if firstByte(text) != '[' {
		return nil, errIDs
	}
	ids := make([]uint32, 0, len(text)/6)
	number, digits := uint64(0), 0
	for i, b := range text {
		switch {
		case b >= '0' && b <= '9':
			number = number*10 + uint64(b-'0')
			if digits++; digits > 10 || number > 1<<32-1 {
				return nil, fmt.Errorf("%w: a number at byte %d is too large", errIDs, i)
			}
		case b == ',' || b == ']':
			if digits > 0 {
				ids = append(ids, uint32(number))
			}
			number, digits = 0, 0
		case b == '[' && len(ids) == 0, b == ' ', b == '\n', b == '\t', b == '\r':
		default:
			return nil, fmt.Errorf("%w: %q at byte %d", errIDs, b, i)
		}
	}
	return ids, nil
}

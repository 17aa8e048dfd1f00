package datalayer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxModels bounds the models that are kept of a server.
const maxModels = 4096

// modelsAge is for how many intervals an answer counts: a server that is silent for longer may have been started again with
// other models.
const modelsAge = 5

// models is what a server said it serves; immutable.
type models struct {
	names []string // not nil
	until time.Time
}

// modelsSource asks for the models that a server serves, in the form of the OpenAI API.
type modelsSource struct {
	at    place
	every time.Duration
	pools *Pools
}

func (s *modelsSource) kind() kind           { return kindModels }
func (s *modelsSource) what() string         { return "models" }
func (s *modelsSource) place() *place        { return &s.at }
func (s *modelsSource) pause() time.Duration { return s.every }

func (s *modelsSource) equip(*wire, *Endpoint) {}

func (s *modelsSource) interval(*live, time.Time) time.Duration { return s.every }

func (s *modelsSource) read(t *target, sc *scratch, now time.Time) error {
	names, err := readModels(sc.buf)
	if err != nil {
		return fmt.Errorf("get %s: %w", t.wire.request.URL, err)
	}
	before := t.live.models.Load()
	same := before != nil && slices.Equal(before.names, names)
	if same {
		names = before.names
	}
	t.live.models.Store(&models{names: names, until: now.Add(modelsAge * s.every)})
	if !same {
		s.pools.tell(t.pool.key)
	}
	return nil
}

// failed leaves the models as they are: they count until they are too old.
func (s *modelsSource) failed(*live, error) {}

// readModels reads the ids of a list of models; adapters stand in it like models.
func readModels(text []byte) ([]string, error) {
	var answer struct {
		Data *[]struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("the answer is no list of models: %w", err)
	}
	if answer.Data == nil {
		return nil, errors.New("the answer is no list of models: it has no data")
	}
	if len(*answer.Data) > maxModels {
		return nil, fmt.Errorf("the answer lists %d models, more than the %d that are kept", len(*answer.Data), maxModels)
	}
	names := make([]string, 0, len(*answer.Data))
	for _, model := range *answer.Data {
		if model.ID != "" {
			names = append(names, model.ID)
		}
	}
	return names, nil
}

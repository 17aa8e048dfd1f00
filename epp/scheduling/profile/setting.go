package profile

import (
	"fmt"
	"strings"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// Setting is what a handler is made of beside its parameters.
type Setting struct {
	// Name is the handler's own, for its series; empty: its type.
	Name string
	// Profiles are those that there are.
	Profiles []*Profile
	// Deciders are those that the parameters name, by name.
	Deciders map[string]scheduling.Decider
}

// stageNames name something for each stage.
type stageNames struct {
	Decode  string `json:"decode"`
	Prefill string `json:"prefill"`
	Encode  string `json:"encode"`
}

// fill finds what the stages of a handler need. field is how its parameters call the profile of a stage.
func (s Setting) fill(h *Disagg, typ string, profiles, deciders stageNames, field func(stage string) string) error {
	name := s.Name
	if name == "" {
		name = typ
	}
	h.decisions = NewDecisions(name, typ)
	var err error
	if h.decode, err = s.profile(field(scheduling.StageDecode), profiles.Decode, scheduling.StageDecode); err != nil {
		return err
	}
	if deciders.Prefill != "" {
		if h.prefill, err = s.profile(field(scheduling.StagePrefill), profiles.Prefill, scheduling.StagePrefill); err != nil {
			return err
		}
		if h.prefillDecider, err = s.decider(deciders.Prefill); err != nil {
			return err
		}
	}
	if deciders.Encode != "" {
		if h.encode, err = s.profile(field(scheduling.StageEncode), profiles.Encode, scheduling.StageEncode); err != nil {
			return err
		}
		if h.encodeDecider, err = s.decider(deciders.Encode); err != nil {
			return err
		}
	}
	return nil
}

func (s Setting) decider(name string) (scheduling.Decider, error) {
	if found, ok := s.Deciders[name]; ok {
		return found, nil
	}
	return nil, fmt.Errorf("parameters: there is no decider %q; declare it under plugins", name)
}

// profile finds a profile and makes it ready to run.
func (s Setting) profile(field, name, byDefault string) (*Profile, error) {
	if name == "" {
		name = byDefault
	}
	if found := s.find(name); found != nil {
		found.prepare()
		return found, nil
	}
	return nil, fmt.Errorf("parameters: %s: there is no scheduling profile %q; add it under schedulingProfiles, or name another", field, name)
}

func (s Setting) find(name string) *Profile {
	for _, p := range s.Profiles {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// readStageOrder tells whether the prefill comes first. The words may be written in any case, with or without their hyphen.
func readStageOrder(order string) (prefillFirst bool, err error) {
	switch strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(order)) {
	case "", "decodefirst", "decode":
		return false, nil
	case "prefillfirst", "prefill":
		return true, nil
	}
	return false, fmt.Errorf("parameters: stageOrder: %q is neither decode-first nor prefill-first", order)
}

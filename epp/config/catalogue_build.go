package config

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/profile"
)

func construct[T any](build func([]byte) (T, error)) func([]byte) (any, error) {
	return func(parameters []byte) (any, error) { return build(parameters) }
}

// handlerBuilder makes a profile handler once its profiles are there.
type handlerBuilder func(profiles []*profile.Profile) (profile.Handler, error)

// handler defers the making of a handler, whose parameters are read then.
func handler[T profile.Handler](build func([]byte, []*profile.Profile) (T, error)) func([]byte) (any, error) {
	return func(parameters []byte) (any, error) {
		return handlerBuilder(func(profiles []*profile.Profile) (profile.Handler, error) { return build(parameters, profiles) }), nil
	}
}

func withoutParameters(parameters []byte) (any, error) {
	return nil, scheduling.DecodeParameters(parameters, &struct{}{})
}

// checkTokenProducer accepts the estimate only: four bytes of prompt are one token.
func checkTokenProducer(parameters []byte) (any, error) {
	given := struct {
		ModelName string `json:"modelName"`
		Estimate  any    `json:"estimate"`
		VLLM      any    `json:"vllm"`
	}{}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.VLLM != nil {
		return nil, fmt.Errorf("parameters: vllm: not supported by this version; remove it to estimate tokens from the prompt's length")
	}
	return nil, nil
}

func checkUsageLimit(parameters []byte) (any, error) {
	return nil, scheduling.DecodeParameters(parameters, &struct {
		Threshold float64 `json:"threshold"`
	}{})
}

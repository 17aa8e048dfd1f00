package config

import (
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

package config

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/response"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// RegisterFilter adds a filter under a type that configurations may then name. build gets the parameters as JSON, nil when
// there are none; scheduling.DecodeParameters reads them. Register from an init function or the beginning of main, before
// any configuration is loaded. It panics on a type that is empty or taken: that is a mistake in the program.
//
// A plugin may implement more than its role: scheduling.HeaderReader, scheduling.Observer and response.Plugin are found.
func RegisterFilter[T scheduling.Filter](typ string, build func(parameters []byte) (T, error)) {
	register(typ, entry{role: roleFilter, build: construct(build)})
}

// RegisterScorer adds a scorer; see RegisterFilter. A scorer that is a scheduling.Filter too filters before the filters of
// its profile.
func RegisterScorer[T scheduling.Scorer](typ string, build func(parameters []byte) (T, error)) {
	register(typ, entry{role: roleScorer, build: construct(build)})
}

// RegisterPicker adds a picker; see RegisterFilter.
func RegisterPicker[T scheduling.Picker](typ string, build func(parameters []byte) (T, error)) {
	register(typ, entry{role: rolePicker, build: construct(build)})
}

// RegisterProducer adds a data producer; see RegisterFilter. One that is declared runs for each request.
func RegisterProducer[T scheduling.Producer](typ string, build func(parameters []byte) (T, error)) {
	register(typ, entry{role: roleProducer, build: construct(build)})
}

// RegisterAdmitter adds an admitter; see RegisterFilter. One that is declared is asked for each request.
func RegisterAdmitter[T scheduling.Admitter](typ string, build func(parameters []byte) (T, error)) {
	register(typ, entry{role: roleAdmitter, build: construct(build)})
}

// RegisterDecider adds a decider; see RegisterFilter. One that a profile handler names is asked for each request.
func RegisterDecider[T scheduling.Decider](typ string, build func(parameters []byte) (T, error)) {
	register(typ, entry{role: roleDecider, build: construct(build)})
}

// RegisterResponse adds a plugin that changes headers of answers; see RegisterFilter. One that is declared sees each answer.
func RegisterResponse[T response.Plugin](typ string, build func(parameters []byte) (T, error)) {
	register(typ, entry{role: roleResponse, build: construct(build)})
}

// RegisterEndpointExtractor adds a plugin that an endpoint-notification-source tells of endpoints; see RegisterFilter. A plugin with
// another role that is a datalayer.EndpointExtractor, too, is registered as what it is: sources may refer to it all the same.
func RegisterEndpointExtractor[T datalayer.EndpointExtractor](typ string, build func(parameters []byte) (T, error)) {
	register(typ, entry{role: roleExtractor, build: construct(build)})
}

// RegisterObjectExtractor adds a plugin that a k8s-notification-source tells of objects; see RegisterEndpointExtractor.
func RegisterObjectExtractor[T datalayer.ObjectExtractor](typ string, build func(parameters []byte) (T, error)) {
	register(typ, entry{role: roleExtractor, build: construct(build)})
}

func register(typ string, e entry) {
	if typ == "" {
		panic("config: registering a plugin without a type")
	}
	if _, taken := catalogue[typ]; taken {
		panic(fmt.Sprintf("config: plugin type %q is registered already", typ))
	}
	catalogue[typ] = e
}

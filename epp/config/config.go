package config

import (
	_ "embed"
	"fmt"

	"github.com/switchyard/switchyard/epp/discovery"
	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/response"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/producer"
	"github.com/switchyard/switchyard/epp/scheduling/profile"
)

// Config is a compiled EndpointPickerConfig: immutable, safe for concurrent use.
type Config struct {
	// Handler chooses the endpoints of a request.
	Handler profile.Handler
	// Profiles are the profiles that Handler runs, as listed.
	Profiles []*profile.Profile
	Prefix   Prefix
	// InFlight is what a request counts for while it is at an endpoint.
	InFlight producer.InFlightLoad
	Parsers  Parsers
	// DataLayer is what endpoints are asked for.
	DataLayer DataLayer
	// Discovery is where endpoints come from, DiscoveryName the name of that plugin; nil: a cluster, or a folder of manifests.
	Discovery     *discovery.File
	DiscoveryName string
	// Responses are the plugins that have a say in answers, in the order of their declaration.
	Responses []response.Plugin
	// Followers are the plugins in use that want to know how requests went on.
	Followers []scheduling.Follower
	// Reporters are the plugins that tell the proxy numbers about answers that ended, in the order of their declaration.
	Reporters []response.Reporter
	// Detector tells how full a pool is, never nil.
	Detector flowcontrol.Detector
	// FlowControl is nil when its feature gate is off.
	FlowControl *FlowControl
	// RequestHeaders are the names of the request headers that plugins in use read, sorted.
	RequestHeaders []string
	// Plugins are those that the file declares, in its order.
	Plugins []Declared
	// Warnings tell what the file asks for that has no effect; for the log, once.
	Warnings []string

	overriders  []scheduling.SubsetOverrider
	identifiers []scheduling.Identifier
}

// OverridesSubset tells whether a request with these headers is scheduled among the whole pool, whatever subset the proxy
// allows.
func (c *Config) OverridesSubset(headers scheduling.Headers) bool {
	for _, overrider := range c.overriders {
		if overrider.OverridesSubset(headers) {
			return true
		}
	}
	return false
}

//go:embed default.yaml
var defaultText []byte

// DefaultText is the configuration in force when none is given.
func DefaultText() []byte { return append([]byte(nil), defaultText...) }

// Default compiles DefaultText.
func Default() *Config {
	config, err := Load(defaultText)
	if err != nil {
		panic("built-in configuration: " + err.Error())
	}
	return config
}

// Load compiles a configuration file. Errors name the field and what to change.
func Load(text []byte) (*Config, error) { return LoadWith(text, Options{}) }

// LoadWith is Load with options.
func LoadWith(text []byte, options Options) (*Config, error) {
	doc, err := decodeDocument(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	config, err := compile(doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	if err := options.refuseExperimental(config.Plugins); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	if options.IgnoreSubset {
		config.overriders = append(config.overriders, everyRequest{})
	}
	return config, nil
}

// Package config reads an EndpointPickerConfig and compiles it into what runs: profiles of plugins, limits of the prefix
// match, the parsers in force. It is strict: an unknown field, type or reference is an error that names the place and what
// to change. It starts nothing and knows no pool.
//
//	YAML -> document -> plugins by name -> Config (profile handler, prefix, parsers, metrics, warnings)
package config

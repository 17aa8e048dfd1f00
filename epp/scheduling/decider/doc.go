// Package decider holds the plugins that tell whether a stage of a request goes to a server of its own. They choose no server
// and keep nothing; a profile handler that was told their names asks them.
//
//	request + candidate that decodes -> Disaggregate -> yes or no
package decider

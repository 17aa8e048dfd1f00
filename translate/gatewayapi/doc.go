// Package gatewayapi reads Gateway API and InferencePool objects and says what they mean (model) and what
// their statuses ought to be. It is pure: no clock, no network, no Kubernetes client; the same objects in
// any order give the same result.
//
//	source.Objects -> gatewayapi.Build -> model.Gateway, Statuses
package gatewayapi

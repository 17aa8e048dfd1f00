// Package latency asks predictors how long a request would take at each endpoint, and teaches them how long it took: the
// client of a training server and of prediction servers, and the answers as plugins read them. It chooses no endpoint and
// knows no model of its own. Whoever asks waits no longer than its context; a predictor that is away costs a request nothing
// once that is known, and plugins go without it then.
//
//	features of each candidate -> Client.Predict -> batch of some milliseconds -> prediction server -> Forecasts -> filters, scorers
//	requests that ended -> Client.Learn -> bounded sample -> training server
package latency

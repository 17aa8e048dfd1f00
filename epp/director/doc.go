// Package director takes a request that has arrived to the endpoint that is to serve it, and keeps account of it until it ends. It
// decides in one fixed order and knows nothing of the wire: what a proxy sends becomes a Request, and the Decision or the
// Refusal becomes what the proxy is sent.
//
//	Request -> body scan -> model rewrite -> objective, fairness -> admission (may wait) -> candidates -> scheduling -> Decision
//	Exchange: begun with the Decision, moved when a retry was, ended once -> in-flight counters, prefix index, metrics, followers
//
// It keeps no part of a body, and what a request holds (a ticket of flow control, a place in flight) is released exactly once,
// however the request ends.
package director

// Package extproc speaks Envoy's external processing protocol: it takes the requests of proxies, has an endpoint chosen for
// each, and tells when each is over. Two protocols share one gRPC method. Lean: the proxy sends the first part of the body
// and the end, and of what is in between only what the picker asks for, request by request (shown.go). Standard: the Endpoint Picker Protocol, whole bodies in both directions, echoed.
//
// It keeps no part of a body after the choice, and a request that ended, however it ended, releases what it held exactly
// once. It does not choose by itself (scheduling does) and it does not know where pools come from.
//
//	proxy stream -> frame -> body.Scan -> prefix.Match -> scheduling -> answer to the proxy
//	end of stream, trailers -> accounting, prefix index, metrics
package extproc

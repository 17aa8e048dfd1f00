// Package filter holds the plugins that remove candidates. They decide by what an endpoint is, never by how busy it is:
// a filter that empties the set refuses the request.
//
//	candidates -> Filter -> candidates that may serve the request
package filter

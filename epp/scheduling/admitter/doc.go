// Package admitter holds the plugins that may refuse a request before anything is chosen for it.
//
//	cycle -> Admit -> nil, or an error for the client
package admitter

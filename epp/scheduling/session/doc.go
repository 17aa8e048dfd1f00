// Package session keeps the requests of one session at one endpoint: it tells which candidate a session is bound to, and
// binds it. It does not choose; the session-affinity filter and scorer do with the binding as they see fit.
//
//	headers, attributes -> Affinity.Bound -> candidate; decision or answer -> binding
package session

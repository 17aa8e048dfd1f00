// Package picker holds the plugins that choose among rated candidates. They add no opinion of their own: equal scores
// have equal chances.
//
//	candidates + weighted scores -> Pick -> chosen candidates, best first
package picker

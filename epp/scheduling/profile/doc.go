// Package profile runs one named set of plugins over a cycle, and chooses which profiles run. It knows the order (filters
// as listed, each on what the one before left; then scorers, weighted; then the picker) and nothing of any plugin.
//
//	cycle -> filters -> scorers x weights -> picker -> candidates chosen
package profile

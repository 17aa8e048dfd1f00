// Package fairness holds the policies that share a band between its flows. A policy numbers flows when they join and when they
// are served; it never walks them and keeps nothing of a flow that is gone, but for what program-aware fairness has to remember.
//
//	flow joined, served, charged -> number -> which of two flows goes first
package fairness

// Package scorer holds the plugins that rate candidates between 0 (worst) and 1 (best). A scorer reads the cycle and
// nothing else, and rates an endpoint whose metrics are missing like the average of those known (see scheduling.Load).
//
//	cycle -> Score -> one number per candidate
package scorer

// Package producer holds the plugins that find out something about a request before it is scheduled: its session, its agent.
// They read what the request brings and choose nothing.
//
//	request headers -> Produce, Identity -> attributes of the cycle, fairness id
package producer

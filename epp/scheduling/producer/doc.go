// Package producer holds the plugins that find out something about a request before it is scheduled: its session, its agent,
// who holds its prompt or its images, how long it would take. They read what the request brings, what they have learnt from
// others and what servers beside the picker tell them within a bound, and choose nothing.
//
//	request -> Produce, Identity -> the cycle: attributes, tokens, prefix, what its context carries; fairness id
package producer

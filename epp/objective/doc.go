// Package objective answers, for a request, which priority the objective that it names has, and which model it is to be
// sent to instead of the one that it asks for.
//
// Rules are an immutable snapshot: whoever follows the objects makes new ones when something moved, and requests read the
// newest without a lock. The package must not know where objects come from, nor decide what a priority means.
//
//	Objective, Rewrite -> Rules -> Priority, Rewrite of a request
package objective

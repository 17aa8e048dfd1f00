// Package ordering holds the policies that order the requests of one flow. A policy gives a request one number when it begins to
// wait; it sees nothing else of the queue.
//
//	request, end of its wait -> rank; lower goes first, equals in the order of arrival
package ordering

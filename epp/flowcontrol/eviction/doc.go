// Package eviction holds the policies that say which requests in flight are revoked when a higher priority needs their room. A
// policy sees what is known of a request when it is placed, and nothing that changes.
//
//	request in flight -> may it be revoked; two of them -> which goes first
package eviction

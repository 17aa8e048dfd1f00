// Package datalayer holds the pools, their endpoints and what is known of them now: the numbers scraped from each
// model server, the models it says it serves, and the work this process has in flight there.
//
// It must not decide anything: no scores, no filters, and a server whose numbers are old stays in its pool.
//
//	source -> Pools.Set -> Pool.Endpoints -> scheduling
//	model server /metrics -> Pools.Run -> Endpoint.Metrics, Endpoint.Custom -> scheduling
//	model server /v1/models -> Pools.Run -> Endpoint.Models
package datalayer

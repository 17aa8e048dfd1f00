// Package xds serves views to proxies: one View per Gateway, delta ADS, make before break, who has what.
// It does not know what a resource means beyond its type, its bytes and the resources it refers to.
//
//	resource.View -> xds.Server -> proxies
//	proxies -> ACK/NACK -> xds.Server -> Rejection, State
package xds

// Package saturation holds the detectors: pure functions from what is known of a pool's endpoints to how full it is. They keep no
// state and read no clock.
//
//	endpoints, what is dispatched ahead of them, time -> Reading; 1 is full, and so is a pool without endpoints
//
// A request that was dispatched a moment ago shows in no endpoint's figures yet. It is counted as ahead, spread over the
// endpoints of each stage, so that a burst meets the level that it makes itself.
package saturation

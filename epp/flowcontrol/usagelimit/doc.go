// Package usagelimit holds the policies that say how full a pool may be for each priority. A policy sees the priorities there are,
// never the load.
//
//	priorities, falling -> ceiling of each; saturation at or above it stops that band and all below
package usagelimit

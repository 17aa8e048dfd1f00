// Package scheduling decides which of a pool's endpoints answers a request: the cycle that one decision works on, and the
// interfaces that plugins implement. It reads no metrics from the network and does not know the wire protocol. What it
// learns from decisions (Observer) lives in the plugin that needs it, bounded, and is gone with the process. Plugins live beside it, one folder per family, one file per plugin, all of one shape:
// a Type constant, a constructor from strict JSON parameters, one method.
//
//	request + endpoints -> Cycle -> producers -> admitters
//	  -> profile: filters -> weighted scorers -> picker -> indices of the chosen endpoints -> observers
//
// # Bursts between two scrapes
//
// Metrics are a picture up to one scrape interval old, so a burst that arrives in between would see the same picture for
// each of its requests and go to one server. Two rules keep it from that. Ties are broken uniformly at random. And the
// load of an endpoint is what its last scrape says or what this process knows to have in flight there, whichever is more
// (Load.Queue, Load.Active). Own knowledge is a lower bound of the truth, so traffic that other pickers send can make it
// too small but never too large; with no requests of our own in flight the arithmetic is that of the scraped values alone.
//
// # Endpoints without fresh metrics
//
// They stay eligible. They are taken to be as loaded as the average of the candidates whose metrics are fresh, or more if
// our own requests in flight say so: a silent endpoint neither attracts a burst nor is shut out. Where nothing is known of
// anyone, own requests in flight decide alone.
package scheduling

// Package metrics keeps the picker's Prometheus series, llm_d_epp_*. Series of requests are made when the first request of
// their labels comes, and there is a bound on how many; what describes pools and endpoints is read from them when somebody
// scrapes, so it costs nothing in between and vanishes with them.
//
//	request -> Series -> counters, histograms
//	scrape -> Collector -> datalayer.Pools -> gauges
package metrics

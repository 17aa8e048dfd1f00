// Package metrics keeps the picker's Prometheus series, llm_d_epp_*. Series of requests are made when the first request of
// their labels comes, and there is a bound on how many, whatever clients send; what describes pools and endpoints is read from
// them when somebody scrapes, so it costs nothing in between and vanishes with them. The names that series had in earlier
// versions of the llm-d Router are a view of the page: no request is counted twice for them.
//
//	request -> Series -> counters, histograms
//	request -> flights -> datalayer.Flight
//	scrape -> Collector -> datalayer.Pools, flights -> gauges
//	scrape -> Legacy -> the same families under their old names
package metrics

// Command sizing measures how much processor and memory the endpoint picker and a proxy need for the workloads of the llm-d Router's
// sizing tables, and writes what follows from that: docs/sizing.json, the tables of docs/sizing.md, and examples/values. What is measured
// is the program that ships, as a process of its own, with the flags and the configuration that the chart gives it; and a
// real Envoy that it configures. Requests, answers and metrics pages come from this process. A figure that was not measured at the rate
// of its row says so wherever it stands.
//
//	row -> load -> picker, Envoy -> /proc -> result -> docs/sizing.json -> docs/sizing.md, examples/values
package main

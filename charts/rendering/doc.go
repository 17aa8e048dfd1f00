// Package rendering holds no code but tests: what the charts beside it make of values. Helm is its Go module, so that nothing has to be
// installed and no cluster is asked.
//
//	chart, values -> Helm -> manifests -> golden files; API types, strictly; the picker's and Envoy's own readers
//
// It lies in a module of its own, of all charts: what renders charts is no part of the control plane. It tells nothing of whether a cluster runs what was rendered.
//
//	go test ./rendering             compares
//	go test ./rendering -update     writes the golden files and the templates of known keys, and removes what nobody renders
package rendering

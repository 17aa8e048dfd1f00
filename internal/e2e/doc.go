// Package e2e holds no code, only the tests that keep the project's promises: manifests in, HTTP answers out
// of real Envoys, with the real control plane and the real endpoint picker in between. Model servers are
// simulated. Everything runs on loopback.
package e2e
